//! Which route answers a request.
//!
//! API Gateway takes the most specific match: literal segments before `{name}` before `{name+}`, a named method
//! before `ANY`, `$default` last.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>

use std::cmp::Ordering;
use std::collections::BTreeMap;

use http::Method;

use crate::template::Route;

/// The routes of an API, most specific first.
#[derive(Debug, Clone)]
pub struct Router(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    route: Route,
    key: String,
    segments: Vec<Segment>,
}

/// Ordered by how specific it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    One(String),
    Rest(String),
}

/// The route that answers a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'a> {
    /// The route.
    pub route: &'a Route,
    /// `METHOD /path` as the template has it.
    pub key: &'a str,
    /// What the variables of its path stand for, percent-decoded.
    pub parameters: BTreeMap<&'a str, String>,
}

impl Router {
    /// Sorts routes by how specific they are.
    pub fn new(routes: &[Route]) -> Self {
        let mut entries: Vec<Entry> = routes.iter().map(Entry::new).collect();
        entries.sort_by(Entry::compare);
        Self(entries)
    }

    /// Finds the route for a method and a path without its query.
    pub fn find<'a>(&'a self, method: &Method, path: &str) -> Option<Match<'a>> {
        let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        self.0.iter().find_map(|entry| {
            if entry.route.method != "ANY" && entry.route.method != method.as_str() {
                return None;
            }
            let parameters = if entry.route.path == "$default" {
                BTreeMap::new()
            } else {
                entry.parameters(&segments)?
            };
            Some(Match {
                route: &entry.route,
                key: &entry.key,
                parameters,
            })
        })
    }
}

impl Entry {
    fn new(route: &Route) -> Self {
        let segments = route
            .path
            .strip_prefix('/')
            .unwrap_or(&route.path)
            .split('/')
            .map(Segment::read)
            .collect();
        let key = match route.path.as_str() {
            "$default" => "$default".to_owned(),
            path => format!("{} {path}", route.method),
        };
        Self {
            route: route.clone(),
            key,
            segments,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let last = |entry: &Self| entry.route.path == "$default";
        let any = |entry: &Self| entry.route.method == "ANY";
        let kinds = |entry: &Self| entry.segments.iter().map(Segment::rank).collect::<Vec<u8>>();
        last(self)
            .cmp(&last(other))
            .then_with(|| kinds(self).cmp(&kinds(other)))
            .then_with(|| any(self).cmp(&any(other)))
    }

    fn parameters(&self, given: &[&str]) -> Option<BTreeMap<&str, String>> {
        let mut parameters = BTreeMap::new();
        for (index, segment) in self.segments.iter().enumerate() {
            let here = *given.get(index)?;
            match segment {
                Segment::Literal(text) if text == here => {}
                Segment::Literal(_) => return None,
                Segment::One(_) if here.is_empty() => return None,
                Segment::One(name) => {
                    parameters.insert(name.as_str(), decode(here));
                }
                Segment::Rest(name) => {
                    let rest = given[index..].join("/");
                    if rest.is_empty() {
                        return None;
                    }
                    parameters.insert(name.as_str(), decode(&rest));
                    return Some(parameters);
                }
            }
        }
        (given.len() == self.segments.len()).then_some(parameters)
    }
}

impl Segment {
    fn read(text: &str) -> Self {
        match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('+') {
                Some(name) => Self::Rest(name.to_owned()),
                None => Self::One(name.to_owned()),
            },
            None => Self::Literal(text.to_owned()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::One(_) => 1,
            Self::Rest(_) => 2,
        }
    }
}

/// Decodes percent escapes; what is no escape, or no UTF-8, stays as it is.
pub(crate) fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(key: &str) -> Route {
        let (method, path) = key.split_once(' ').unwrap_or(("ANY", key));
        Route {
            method: method.into(),
            path: path.into(),
            function: "F".into(),
        }
    }

    const ROUTES: [&str; 8] = [
        "$default",
        "ANY /{proxy+}",
        "GET /pets/{proxy+}",
        "GET /pets/dog/{id}",
        "ANY /pets/dog/1",
        "GET /pets/dog/1",
        "ANY /v1/orgs/{proxy+}",
        "ANY /v1/orgs/{orgId}/audit",
    ];

    fn check(request: &str, expected: &str, parameters: &[(&str, &str)]) {
        let router = Router::new(&ROUTES.map(route));
        let (method, path) = request.split_once(' ').unwrap();
        let found = router.find(&method.parse().unwrap(), path).unwrap();
        let parameters = parameters
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        assert_eq!((found.key, found.parameters), (expected, parameters), "{request}");
    }

    #[test]
    fn the_most_specific_route_answers() {
        check("GET /pets/dog/1", "GET /pets/dog/1", &[]);
        check("POST /pets/dog/1", "ANY /pets/dog/1", &[]);
        check("GET /pets/dog/2", "GET /pets/dog/{id}", &[("id", "2")]);
        check("GET /pets/cat/1", "GET /pets/{proxy+}", &[("proxy", "cat/1")]);
        check("POST /pets/cat/1", "ANY /{proxy+}", &[("proxy", "pets/cat/1")]);
        check(
            "GET /v1/orgs/org_1/audit",
            "ANY /v1/orgs/{orgId}/audit",
            &[("orgId", "org_1")],
        );
        check(
            "GET /v1/orgs/org_1/audit/x",
            "ANY /v1/orgs/{proxy+}",
            &[("proxy", "org_1/audit/x")],
        );
        check("GET /", "$default", &[]);
        check("GET /a%20b", "ANY /{proxy+}", &[("proxy", "a b")]);
    }

    #[test]
    fn what_no_route_names_is_not_found() {
        let router = Router::new(&[route("GET /a/{id}"), route("ANY /b/{proxy+}")]);
        for path in ["/", "/a", "/a/", "/a/1/2", "/b", "/b/"] {
            assert_eq!(router.find(&Method::GET, path), None, "{path}");
        }
        assert_eq!(router.find(&Method::POST, "/a/1"), None);
    }
}
