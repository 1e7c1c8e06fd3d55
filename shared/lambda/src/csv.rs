//! Lists as CSV (RFC 4180): for spreadsheets, page by page. What people wrote is text there, never a formula.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use kernel::{Currency, Minor, Money};
use serde::{Deserialize, Serialize};
use table::{Page, Slice};

use crate::{Json, List, Pages};

/// A page of CSV has at most so many rows, and at most what DynamoDB reads at once: 1 MB of them.
const MOST: u16 = 1_000;

/// What a list is answered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ListFormat)]
pub enum Format {
    /// JSON.
    Json,
    /// CSV.
    Csv,
}

impl Format {
    /// What a request asks for: by its parameter, else by `accept`.
    pub fn of(given: Option<Self>, headers: &HeaderMap) -> Self {
        let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let is_csv = accepts.is_some_and(|accept| accept.trim_start().starts_with("text/csv"));
        given.unwrap_or(if is_csv { Self::Csv } else { Self::Json })
    }

    /// Which part of a list is asked for.
    pub fn slice<F>(self, pages: &Pages<F>) -> kernel::Result<Slice> {
        match self {
            Self::Json => pages.slice(),
            Self::Csv => Ok(Slice {
                limit: pages.limit(MOST, MOST)?,
                after: pages.after()?,
            }),
        }
    }

    /// Answers with a page.
    pub fn answer<F, R, V: Serialize>(
        self,
        pages: &Pages<F>,
        page: Page<R>,
        view: impl FnMut(R) -> V,
        table: &Columns<V>,
    ) -> kernel::Result<Response> {
        let list = pages.list(page, view)?;
        match self {
            Self::Json => Ok(Json(list).into_response()),
            Self::Csv => table.answer(pages, &list),
        }
    }
}

/// A cell.
pub enum Cell {
    /// What people may have written.
    Text(String),
    /// What we wrote: ids, numbers, dates.
    Plain(String),
    /// An empty one.
    Nothing,
}

impl Cell {
    /// What we wrote.
    pub fn plain(value: &(impl ToString + ?Sized)) -> Self {
        Self::Plain(value.to_string())
    }

    /// What we wrote, if we did.
    pub fn maybe(value: Option<impl ToString>) -> Self {
        value.map_or(Self::Nothing, |value| Self::plain(&value))
    }

    /// An amount as people write it: `119.00`.
    pub fn amount(minor: Minor, currency: Currency) -> Self {
        Self::Plain(Money::new(minor, currency).plain())
    }

    fn written(&self) -> String {
        let text = match self {
            Self::Nothing => return String::new(),
            // Spreadsheets run what begins so; behind an apostrophe it is text.
            Self::Text(text) if text.trim_start().starts_with(['=', '+', '-', '@', '|', '%']) => format!("'{text}"),
            Self::Text(text) | Self::Plain(text) => text.clone(),
        };
        let needs_quotes = matches!(self, Self::Text(_)) || text.contains([',', '"', '\r', '\n']);
        if needs_quotes {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text
        }
    }
}

/// The columns of a list: their names, and what a row has in them.
pub struct Columns<V> {
    /// What a file of it is called.
    pub file: &'static str,
    /// The names.
    pub names: &'static [&'static str],
    /// A row.
    pub row: fn(&V) -> Vec<Cell>,
}

impl<V> Columns<V> {
    /// Answers with all of it.
    pub fn whole(&self, rows: &[V]) -> Response {
        let mut text = format!("{}\r\n", self.names.join(","));
        for row in rows {
            let cells: Vec<String> = (self.row)(row).iter().map(Cell::written).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        let disposition = format!("attachment; filename=\"{}.csv\"", self.file);
        let headers = [
            (
                header::CONTENT_TYPE,
                "text/csv; charset=utf-8; header=present".to_owned(),
            ),
            (header::CONTENT_DISPOSITION, disposition),
        ];
        (headers, text).into_response()
    }

    fn answer<F>(&self, pages: &Pages<F>, list: &List<V>) -> kernel::Result<Response> {
        let mut response = self.whole(&list.data);
        if let Some(cursor) = &list.next_cursor {
            let limit = pages.limit(MOST, MOST)?;
            let next = format!("<{}>; rel=\"next\"", pages.address(limit, cursor));
            let next = HeaderValue::try_from(next).map_err(anyhow::Error::new)?;
            response.headers_mut().insert(header::LINK, next);
        }
        Ok(response)
    }
}
