//! Lists page by page: the parameters of every list, and the page that answers them.

use kernel::{Error, Result};
use serde::Deserialize;
use table::{Page, Slice};

use crate::{App, List};

const DEFAULT_LIMIT: u16 = 20;
const MOST: u16 = 100;

/// The parameters of a list without a filter.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// How many at most: 1 to 100, 20 if absent.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u16>,
    /// The `nextCursor` of the page before.
    pub cursor: Option<String>,
}

impl Paging {
    /// How many are asked for; 400 `bad_limit` when it is none of 1 to 100.
    pub fn limit(&self) -> Result<u16> {
        limit(self.limit, DEFAULT_LIMIT)
    }

    /// The page that is asked for. `context` names the list: tenant, route and filter; a cursor of another is refused.
    pub fn slice(&self, app: &App, context: &str) -> Result<Slice> {
        let after = match &self.cursor {
            Some(cursor) => Some(app.cursors.open(context, cursor)?),
            None => None,
        };
        Ok(Slice {
            limit: self.limit()?,
            after,
        })
    }
}

/// How many things a list shows: `given`, which must be from 1 to 100, or `default`; else 400 `bad_limit`.
pub fn limit(given: Option<u16>, default: u16) -> Result<u16> {
    match given.unwrap_or(default) {
        limit @ 1..=MOST => Ok(limit),
        _ => Err(Error::malformed_field(
            "bad_limit",
            "limit",
            format!("must be from 1 to {MOST}"),
        )),
    }
}

impl<T> List<T> {
    /// Shows a page that was read for `context`.
    pub fn of<R>(app: &App, context: &str, page: Page<R>, view: impl FnMut(R) -> T) -> Result<Self> {
        let next_cursor = match &page.next {
            Some(position) => Some(app.cursors.seal(context, position)?),
            None => None,
        };
        Ok(Self {
            data: page.records.into_iter().map(view).collect(),
            next_cursor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_bounded() {
        let limit = |limit| Paging { limit, cursor: None }.limit();
        assert_eq!(limit(None).unwrap(), 20);
        assert_eq!(limit(Some(100)).unwrap(), 100);
        for bad in [0, 101] {
            assert!(matches!(
                limit(Some(bad)),
                Err(Error::Malformed { code: "bad_limit", .. })
            ));
        }
    }
}
