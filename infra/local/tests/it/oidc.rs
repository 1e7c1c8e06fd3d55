//! Logging in by OpenID Connect: the real `auth` process against a real provider, npm's `oidc-provider`, driven as a
//! browser drives it, and attacked as a browser's user may be.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, StatusCode, Url, redirect};
use serde_json::{Value, json};

use crate::golden_path::Up;

const CLIENT: &str = "countinghouse";
const SECRET: &str = "a client's secret: +%&";
/// Another client of the same provider.
const OTHER: &str = "http://127.0.0.1:1/other";
/// A login is a dozen pages.
const MOST_PAGES: usize = 20;

/// The folder with the provider, installed by npm outside the checkout; once for each version.
fn installed() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc");
    let read = |name: &str| std::fs::read(source.join(name)).unwrap();
    let files = ["package.json", "package-lock.json", "server.mjs"].map(|name| (name, read(name)));
    let all: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let cache = cache.expect("XDG_CACHE_HOME or HOME is set").join("countinghouse");
    let folder = cache.join(format!("oidc-{}", &hex::encode(digest(&SHA256, &all))[..16]));
    std::fs::create_dir_all(&folder).unwrap();
    // Tests may run at the same time.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    if !folder.join("installed").exists() {
        for (name, bytes) in &files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder);
        let done = npm
            .output()
            .expect("this test runs npm's oidc-provider: install Node.js 20 or later, with npm");
        assert!(
            done.status.success(),
            "npm ci: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        File::create(folder.join("installed")).unwrap();
    }
    folder
}

/// A running provider.
struct Provider {
    child: Child,
    orders: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Provider {
    fn start() -> Self {
        let mut node = Command::new("node");
        node.arg("server.mjs").current_dir(installed());
        let child = node
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.expect("this test runs npm's oidc-provider: install Node.js 20 or later");
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = said.find_map(|line| line.ok()?.strip_prefix("port ").map(str::to_owned));
        Self {
            url: format!("http://127.0.0.1:{}", port.expect("it says its port")),
            orders: child.stdin.take().unwrap(),
            said,
            child,
        }
    }

    /// Makes it a provider, with new keys for `algorithm`, whose clients are `up` and another one.
    fn serve(&mut self, up: &Up, algorithm: &str, email_in_token: bool) {
        let client = |id: &str, uri: String| {
            json!({"client_id": id, "client_secret": SECRET, "redirect_uris": [uri],
                "grant_types": ["authorization_code"], "response_types": ["code"]})
        };
        let clients = [
            client(CLIENT, format!("{}/v1/auth/google/callback", up.url)),
            client("other", OTHER.to_owned()),
        ];
        let order = json!({"clients": clients, "algorithm": algorithm, "emailInToken": email_in_token});
        writeln!(self.orders, "{order}").unwrap();
        let ready = self.said.find(|line| line.as_ref().is_ok_and(|line| line == "ready"));
        assert!(ready.is_some(), "the provider does not start");
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stack whose people log in at a provider.
async fn up(data: &Path, provider: &Provider) -> Up {
    let options = [
        ("--parameter", format!("GoogleIssuer={}", provider.url)),
        ("--parameter", format!("GoogleClientId={CLIENT}")),
        ("--ssm", format!("/countinghouse/google-client-secret={SECRET}")),
    ];
    let options: Vec<&str> = options
        .iter()
        .flat_map(|(name, value)| [*name, value.as_str()])
        .collect();
    Up::start_with(data, &options).await
}

/// A page that was opened.
struct Page {
    status: StatusCode,
    url: Url,
    /// Where it sends the browser on to.
    location: Option<Url>,
    body: String,
}

impl Page {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.url, self.body))
    }

    #[track_caller]
    fn problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.json()["code"], code, "{}", self.body);
    }
}

/// A browser: keeps cookies by name and path, and follows redirects when it is told to.
struct Browser {
    http: Client,
    cookies: HashMap<(String, String), String>,
}

impl Browser {
    fn new() -> Self {
        Self {
            http: Client::builder().redirect(redirect::Policy::none()).build().unwrap(),
            cookies: HashMap::new(),
        }
    }

    async fn open(&mut self, method: Method, url: &Url, form: Option<&str>) -> Page {
        let sent = self
            .cookies
            .iter()
            .filter(|((_, path), _)| url.path().starts_with(path.as_str()));
        let sent: Vec<String> = sent.map(|((name, _), value)| format!("{name}={value}")).collect();
        let mut request = self.http.request(method, url.clone()).header(COOKIE, sent.join("; "));
        if let Some(form) = form {
            let kind = "application/x-www-form-urlencoded";
            request = request.header("content-type", kind).body(form.to_owned());
        }
        let reply = request.send().await.unwrap();
        for cookie in reply.headers().get_all(SET_COOKIE) {
            self.keep(cookie.to_str().unwrap());
        }
        let location = reply
            .headers()
            .get(LOCATION)
            .map(|to| url.join(to.to_str().unwrap()).unwrap());
        Page {
            status: reply.status(),
            url: url.clone(),
            location,
            body: reply.text().await.unwrap(),
        }
    }

    fn keep(&mut self, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let attributes: Vec<String> = parts.map(str::to_lowercase).collect();
        let path = cookie.split(';').find_map(|part| {
            part.trim()
                .to_lowercase()
                .strip_prefix("path=")
                .map(|_| part.trim()[5..].to_owned())
        });
        let key = (name.to_owned(), path.unwrap_or_else(|| "/".to_owned()));
        let gone = value.is_empty() || attributes.iter().any(|one| one == "max-age=0" || one.contains("1970"));
        if gone {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, value.to_owned());
        }
    }

    async fn get(&mut self, url: impl AsRef<str>) -> Page {
        self.open(Method::GET, &url.as_ref().parse().unwrap(), None).await
    }

    /// Opens `start` and does what the provider's pages want, as `who`, until they send it to an address that begins
    /// with `end`. Returns that address, which is not opened.
    async fn log_in(&mut self, start: &str, end: &str, who: &str) -> Url {
        let mut page = self.get(start).await;
        for _ in 0..MOST_PAGES {
            if let Some(next) = page.location.clone() {
                if next.as_str().starts_with(end) {
                    return next;
                }
                page = self.open(Method::GET, &next, None).await;
            } else if page.body.contains(r#"name="prompt" value="login""#) {
                let form = format!("prompt=login&login={who}&password=x");
                page = self.open(Method::POST, &page.url.clone(), Some(&form)).await;
            } else if page.body.contains(r#"name="prompt" value="consent""#) {
                page = self.open(Method::POST, &page.url.clone(), Some("prompt=consent")).await;
            } else {
                panic!("{} {}: {}", page.url, page.status, page.body);
            }
        }
        panic!("the login does not end");
    }

    /// Logs in with Google at a stack up to the return, which is not opened.
    async fn return_of(&mut self, up: &Up, who: &str) -> Url {
        let end = format!("{}/v1/auth/google/callback", up.url);
        self.log_in(&format!("{}/v1/auth/google", up.url), &end, who).await
    }
}

/// The address with another value for a parameter; without it if there is none.
fn with(url: &Url, name: &str, value: Option<&str>) -> Url {
    let mut changed = url.clone();
    let pairs = url
        .query_pairs()
        .filter(|(one, _)| one != name)
        .map(|(one, value)| (one.into_owned(), value.into_owned()));
    let pairs: Vec<(String, String)> = pairs
        .chain(value.map(|value| (name.to_owned(), value.to_owned())))
        .collect();
    changed.query_pairs_mut().clear().extend_pairs(pairs);
    changed
}

fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(one, _)| one == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

#[tokio::test]
async fn people_log_in_with_a_real_provider_whatever_it_signs_with() {
    let data = tempfile::tempdir().unwrap();
    let mut provider = Provider::start();
    let up = up(data.path(), &provider).await;
    let mut ids = Vec::new();
    for (algorithm, email_in_token) in [("RS256", false), ("ES256", true), ("EdDSA", true)] {
        provider.serve(&up, algorithm, email_in_token);
        let mut browser = Browser::new();
        let back = browser.return_of(&up, "ada@example.com").await;
        let page = browser.open(Method::GET, &back, None).await;
        assert_eq!(page.status, 200, "{algorithm}: {}", page.body);
        let entered = page.json();
        assert_eq!(entered["user"]["email"], "ada@example.com");
        assert_eq!(entered["user"]["name"], "Person ada");
        ids.push(entered["user"]["id"].clone());

        let bearer = format!("Bearer {}", entered["accessToken"].as_str().unwrap());
        let (status, me) = up
            .call(Method::GET, "/v1/auth/me", &[("authorization", &bearer)], None)
            .await;
        assert_eq!((status, &me), (StatusCode::OK, &entered["user"]));
        let refresh = json!({"refreshToken": entered["refreshToken"]});
        let (status, _) = up.call(Method::POST, "/v1/auth/refresh", &[], Some(refresh)).await;
        assert_eq!(status, 200);
        // The cookie has done its work.
        assert!(!browser.cookies.keys().any(|(name, _)| name == "google-login"));
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "one person each time: {ids:?}");

    let mut browser = Browser::new();
    let back = browser.return_of(&up, "unverified-bob@example.com").await;
    browser
        .open(Method::GET, &back, None)
        .await
        .problem(409, "email_unverified");
    let mut browser = Browser::new();
    let back = browser.return_of(&up, "second-ada@example.com").await;
    browser
        .open(Method::GET, &back, None)
        .await
        .problem(409, "google_account_changed");
}

#[tokio::test]
async fn a_stolen_or_forged_return_lets_nobody_in() {
    let data = tempfile::tempdir().unwrap();
    let mut provider = Provider::start();
    let up = up(data.path(), &provider).await;
    provider.serve(&up, "RS256", true);
    let [mut ada, mut mallory] = [Browser::new(), Browser::new()];
    let of_mallory = mallory.return_of(&up, "mallory@example.com").await;
    let of_ada = ada.return_of(&up, "ada@example.com").await;

    // Mallory's return in Ada's browser; states swapped; without a cookie.
    ada.open(Method::GET, &of_mallory, None).await.problem(401, "bad_state");
    let swapped = with(&of_mallory, "state", Some(&parameter(&of_ada, "state")));
    mallory
        .open(Method::GET, &swapped, None)
        .await
        .problem(401, "bad_state");
    Browser::new()
        .open(Method::GET, &of_ada, None)
        .await
        .problem(401, "bad_state");
    let nameless = with(&of_ada, "state", None);
    ada.open(Method::GET, &nameless, None)
        .await
        .problem(400, "missing_field");
    // Nothing of that has harmed Ada's own login; and it is good once.
    assert_eq!(ada.open(Method::GET, &of_ada, None).await.status, 200);
    ada.open(Method::GET, &of_ada, None).await.problem(401, "bad_state");

    // Mallory's code, stolen from its address, in Ada's own login: the provider wants another verifier.
    let of_ada = ada.return_of(&up, "ada@example.com").await;
    let stolen = with(&of_ada, "code", Some(&parameter(&of_mallory, "code")));
    ada.open(Method::GET, &stolen, None).await.problem(401, "bad_code");
    // A code that was changed, and one of another client.
    let of_ada = ada.return_of(&up, "ada@example.com").await;
    let code = parameter(&of_ada, "code");
    let changed = with(&of_ada, "code", Some(&format!("{}x", &code[..code.len() - 1])));
    ada.open(Method::GET, &changed, None).await.problem(401, "bad_code");
    let of_ada = ada.return_of(&up, "ada@example.com").await;
    let start = format!(
        "{}/auth?response_type=code&client_id=other&redirect_uri={OTHER}&scope=openid%20email&state=s&nonce=n\
         &code_challenge_method=S256&code_challenge={}",
        provider.url,
        "A".repeat(43)
    );
    let other = ada.log_in(&start, OTHER, "ada@example.com").await;
    let foreign = with(&of_ada, "code", Some(&parameter(&other, "code")));
    ada.open(Method::GET, &foreign, None).await.problem(401, "bad_code");
    // An answer that does not say that it is this provider's, which always says so.
    let of_ada = ada.return_of(&up, "ada@example.com").await;
    ada.open(Method::GET, &with(&of_ada, "iss", None), None)
        .await
        .problem(401, "bad_state");
}

#[tokio::test]
async fn a_login_that_is_broken_off_is_told_so() {
    let data = tempfile::tempdir().unwrap();
    let mut provider = Provider::start();
    let up = up(data.path(), &provider).await;
    let mut browser = Browser::new();
    // Not a provider yet: it answers 503.
    browser
        .get(format!("{}/v1/auth/google", up.url))
        .await
        .problem(503, "busy");
    provider.serve(&up, "ES256", true);

    // The person changes their mind on the provider's page.
    let away = browser
        .get(format!("{}/v1/auth/google", up.url))
        .await
        .location
        .unwrap();
    let page = browser.open(Method::GET, &away, None).await.location.unwrap();
    let mut abort = browser.get(format!("{page}/abort")).await;
    while let Some(next) = abort.location.clone() {
        abort = browser.open(Method::GET, &next, None).await;
    }
    assert!(abort.url.as_str().contains("error=access_denied"), "{}", abort.url);
    abort.problem(401, "google_denied");

    // The provider dies between the two halves of a login.
    let back = browser.return_of(&up, "ada@example.com").await;
    provider.child.kill().unwrap();
    provider.child.wait().unwrap();
    browser.open(Method::GET, &back, None).await.problem(503, "busy");
}
