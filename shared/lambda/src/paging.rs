//! Lists page by page: the parameters of every list, and the page that answers them.

use std::borrow::Cow;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use kernel::{Caller, Error, Problem, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use table::{Cursors, Page, Slice};

use crate::extract::read_query;
use crate::{App, List};

const DEFAULT_LIMIT: u16 = 20;
const MOST: u16 = 100;

/// How the pages of a list are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// How many at most: 1 to 100, 20 if absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

/// The page of a list that a request asks for, and the list's filter `F`.
///
/// A cursor is good for the list that it was made in and for no other: it is bound to the caller's tenant, to the path as
/// it was called, with the ids in it, and to every parameter but `limit` and `cursor`. A handler can neither forget one
/// of them nor name a wrong one.
///
/// In `params(…)`, `F` and [`Paging`] describe it.
#[derive(Debug)]
pub struct Pages<F = NoFilter> {
    /// What the list is narrowed to.
    pub filter: F,
    paging: Paging,
    tenant: String,
    list: String,
    cursors: Cursors,
}

/// The filter of a list that has none: refuses every parameter.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoFilter {}

impl<F: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Pages<F>
where
    App: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let cursors = App::from_ref(state).cursors;
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self::of(cursors, parts.extensions.get(), parts.uri.path(), query)?)
    }
}

impl<F: DeserializeOwned> Pages<F> {
    fn of(cursors: Cursors, caller: Option<&Caller>, path: &str, query: &str) -> Result<Self> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        let (paging, mut filter): (Vec<_>, Vec<_>) = pairs.partition(|(name, _)| matches!(&**name, "limit" | "cursor"));
        // The order in which parameters stand makes no other list.
        filter.sort_unstable();
        let filter = encoded(&filter);
        let end = if filter.is_empty() { "" } else { "&" };
        Ok(Self {
            filter: read_query(&filter)?,
            paging: read_query(&encoded(&paging))?,
            tenant: tenant(caller),
            list: format!("{path}?{filter}{end}"),
            cursors,
        })
    }
}

/// Whose list it is.
fn tenant(caller: Option<&Caller>) -> String {
    match caller {
        Some(Caller::Member { org, .. }) => org.to_string(),
        Some(Caller::ApiKey { project, .. }) => project.to_string(),
        Some(Caller::Person { user, .. }) => user.to_string(),
        None => String::new(),
    }
}

fn encoded(pairs: &[(Cow<str>, Cow<str>)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

impl<F> Pages<F> {
    /// Which part of the list is asked for: 20 things unless the request says more or less, at most 100.
    pub fn slice(&self) -> Result<Slice> {
        Ok(Slice {
            limit: self.limit(DEFAULT_LIMIT, MOST)?,
            after: self.after()?,
        })
    }

    /// Shows a page that was read, and where the next one begins.
    pub fn list<R, T>(&self, page: Page<R>, view: impl FnMut(R) -> T) -> Result<List<T>> {
        Ok(List {
            data: page.records.into_iter().map(view).collect(),
            next_cursor: self.next(page.next.as_ref())?,
        })
    }

    /// How many things are asked for, or `default`: 1 to `most`, else 400 `bad_limit`.
    pub fn limit(&self, default: u16, most: u16) -> Result<u16> {
        bounded(self.paging.limit, default, most)
    }

    /// Where the page before ended, for a list that goes on by more than a key; nothing at its beginning. 400 `bad_cursor`
    /// for the cursor of another list.
    pub fn after<P: DeserializeOwned>(&self) -> Result<Option<P>> {
        let open = |cursor: &String| self.cursors.open(&self.context(), cursor);
        self.paging.cursor.as_ref().map(open).transpose()
    }

    /// The cursor of the page that begins after `position`.
    pub fn next<P: Serialize>(&self, position: Option<&P>) -> Result<Option<String>> {
        position
            .map(|position| self.cursors.seal(&self.context(), position))
            .transpose()
    }

    /// Where the page with this cursor is, for a `link`: path and query.
    pub fn address(&self, limit: u16, cursor: &str) -> String {
        format!("{}limit={limit}&cursor={cursor}", self.list)
    }

    /// What a cursor is bound to.
    fn context(&self) -> String {
        format!("{} {}", self.tenant, self.list)
    }
}

/// How many things a reply shows that has no pages: `given`, which must be from 1 to 100, or `default`; else 400 `bad_limit`.
pub fn limit(given: Option<u16>, default: u16) -> Result<u16> {
    bounded(given, default, MOST)
}

fn bounded(given: Option<u16>, default: u16, most: u16) -> Result<u16> {
    let limit = given.unwrap_or(default);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    let problem = format!("must be from 1 to {most}");
    Err(Error::malformed_field("bad_limit", "limit", problem))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use kernel::{ApiKeyId, OrgId, OrgRole, PlatformRole, ProjectId, SessionId, Time, UserId};
    use proptest::prelude::*;

    /// Any filter.
    type Wide = std::collections::BTreeMap<String, String>;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Narrow {
        project_id: String,
        status: Option<String>,
    }

    fn pages<F: DeserializeOwned>(caller: Option<&Caller>, path: &str, query: &str) -> Result<Pages<F>> {
        let keys = format!("1:{:064x}", 1).parse().unwrap();
        Pages::of(Cursors::new(Some(Arc::new(keys))), caller, path, query)
    }

    /// Whether the cursor that a list gives is good in another.
    fn goes_on(from: (Option<&Caller>, &str, &str), to: (Option<&Caller>, &str, &str)) -> bool {
        let made = pages::<Wide>(from.0, from.1, from.2).unwrap();
        let cursor = made.next(Some(&7_u32)).unwrap().unwrap();
        let query = format!("{}&cursor={cursor}", to.2);
        match pages::<Wide>(to.0, to.1, &query).unwrap().after::<u32>() {
            Ok(position) => {
                assert_eq!(position, Some(7));
                true
            }
            Err(error) => {
                assert!(matches!(error, Error::Malformed { code: "bad_cursor", .. }));
                false
            }
        }
    }

    fn callers() -> Vec<Caller> {
        let now = Time::from_millis(1);
        let (user, session, org) = (UserId::new(now), SessionId::new(now), OrgId::new(now));
        let platform_role = PlatformRole::User;
        let member = |org| Caller::Member {
            user,
            platform_role,
            session,
            org,
            role: OrgRole::Owner,
            grants: Vec::new(),
            anchors: Vec::new(),
        };
        let key = |project| Caller::ApiKey {
            key: ApiKeyId::new(now),
            org,
            project,
            scopes: Vec::new(),
        };
        let person = |user| Caller::Person {
            user,
            platform_role,
            session,
        };
        vec![
            member(org),
            member(OrgId::new(now)),
            key(ProjectId::new(now)),
            key(ProjectId::new(now)),
            person(user),
            person(UserId::new(now)),
        ]
    }

    #[test]
    fn a_cursor_is_its_tenants() {
        let callers = callers();
        let callers: Vec<Option<&Caller>> = callers.iter().map(Some).chain([None]).collect();
        for (a, one) in callers.iter().enumerate() {
            for (b, other) in callers.iter().enumerate() {
                assert_eq!(
                    goes_on((*one, "/v1/a", ""), (*other, "/v1/a", "")),
                    a == b,
                    "{one:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn a_cursor_is_its_lists() {
        let lists = [
            ("/v1/a", ""),
            ("/v1/a/1/b", ""),
            ("/v1/a/2/b", ""),
            ("/v1/a", "x=1"),
            ("/v1/a", "x=2"),
            ("/v1/a", "x="),
            ("/v1/a", "x=1&y=2"),
            ("/v1/a", "x=1%26y%3D2"),
            ("/v1/a", "y=1"),
        ];
        for (a, one) in lists.iter().enumerate() {
            for (b, other) in lists.iter().enumerate() {
                let same = goes_on((None, one.0, one.1), (None, other.0, other.1));
                assert_eq!(same, a == b, "{one:?} {other:?}");
            }
        }
        // How a list is asked for makes no other list of it.
        let one = (None, "/v1/a", "x=1&limit=3&y=a%20b");
        assert!(goes_on(one, (None, "/v1/a", "limit=9&y=a+b&x=1")));
    }

    proptest! {
        #[test]
        fn only_the_same_filter_goes_on(one in filter(), other in filter()) {
            let query = |pairs: &[(String, String)]| {
                form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
            };
            let sorted = |pairs: &[(String, String)]| {
                let mut pairs = pairs.to_vec();
                pairs.sort_unstable();
                pairs
            };
            let same = sorted(&one) == sorted(&other);
            let went_on = goes_on((None, "/v1/a", &query(&one)), (None, "/v1/a", &query(&other)));
            prop_assert_eq!(went_on, same);
        }
    }

    fn filter() -> impl Strategy<Value = Vec<(String, String)>> {
        prop::collection::vec(("[a-b&=]{0,2}", "[a-b&=% +é]{0,2}"), 0..3)
    }

    #[test]
    fn a_filter_is_read_without_what_pages_are_asked_for_by() {
        let found = pages::<Narrow>(None, "/v1/a", "limit=5&projectId=p&cursor=c").unwrap();
        assert_eq!((found.filter.project_id.as_str(), found.filter.status), ("p", None));
        for (query, code, field) in [
            ("", "missing_field", "projectId"),
            ("projectId=p&x=1", "unknown_field", "x"),
            ("projectId=p&projectId=q", "duplicate_field", "projectId"),
            ("projectId=p&limit=1&limit=2", "duplicate_field", "limit"),
            ("projectId=p&limit=ten", "wrong_type", "limit"),
        ] {
            let error = pages::<Narrow>(None, "/v1/a", query).unwrap_err();
            check(&error, code, field);
        }
        check(
            &pages::<NoFilter>(None, "/v1/a", "x=1").unwrap_err(),
            "unknown_field",
            "x",
        );
    }

    #[track_caller]
    fn check(error: &Error, code: &str, field: &str) {
        let Error::Malformed {
            code: found, errors, ..
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!((*found, errors[0].field.as_str()), (code, field));
    }

    #[test]
    fn a_limit_is_bounded() {
        let limit = |query: &str| pages::<NoFilter>(None, "/v1/a", query).unwrap().limit(20, 100);
        assert_eq!(limit("").unwrap(), 20);
        assert_eq!(limit("limit=100").unwrap(), 100);
        for bad in ["limit=0", "limit=101"] {
            check(&limit(bad).unwrap_err(), "bad_limit", "limit");
        }
    }

    #[test]
    fn a_page_has_an_address() {
        let address = |query| pages::<Wide>(None, "/v1/a", query).unwrap().address(5, "c");
        assert_eq!(address("limit=9"), "/v1/a?limit=5&cursor=c");
        assert_eq!(address("y=2&cursor=b&x=1"), "/v1/a?x=1&y=2&limit=5&cursor=c");
    }
}
