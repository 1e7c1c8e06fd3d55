//! The page of a top-up: credits that an organization buys of the platform.

use anyhow::Context as _;
use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use identity::Org;
use kernel::link::Token;
use kernel::number::Fraction;
use kernel::policy::{ReadBilling, ReadOrg};
use kernel::{Error, OrgId, Origin, Result, Scope};
use lambda::{App, Nonce};
use locale::Locale;
use metering::topup::{self, Topup, TopupStatus};
use payments::payment::Purpose;
use payments::{Asked, Payment, What, account};
use providers::Provider;

use crate::page::{Accent, Choice, Notice, Said, accent, choices, from_to, notice};
use crate::{Opened, Pay, answer, to, wished, words};

/// A top-up.
#[derive(Template)]
#[template(path = "topup.html")]
struct Page<'a> {
    lang: &'static str,
    nonce: &'a Nonce,
    accent: Accent,
    path: String,
    own: &'static words::Words,
    seller: &'a str,
    title: String,
    state: (&'static str, &'static str),
    from_to: [String; 5],
    notice: Option<Notice>,
    amount_name: &'static str,
    amount: String,
    is_paid: bool,
    choices: Vec<Choice>,
}

/// The top-up that a link leads to.
pub(crate) async fn find(app: &App, token: &str) -> Result<Option<Topup>> {
    let Some(token @ Token::Topup { .. }) = Token::parse(token) else {
        return Ok(None);
    };
    match topup::by_token(&app.table, &token).await {
        Ok(topup) => Ok(Some(topup)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn path(topup: &Topup) -> String {
    let token = topup.token().map(|token| token.reveal()).unwrap_or_default();
    format!("/pay/{token}")
}

impl Pay {
    /// Shows it, and what became of the payment that somebody comes back from.
    pub(crate) async fn topup(&self, headers: &HeaderMap, topup: Topup, back: Option<&str>) -> Result<Response> {
        let its = Purpose::Topup {
            org: topup.org,
            topup: topup.id,
        };
        let is_its = |payment: &Payment| payment.online.as_ref().is_some_and(|online| online.purpose == its);
        let payment = self.came_back(OrgId::PLATFORM, back, is_its).await?;
        // What was seen may have changed it.
        let topup = topup::load(&self.app.table, topup.org, topup.id).await?;
        let said = payment.as_ref().map_or(Said::Nothing, Said::Of);
        self.page_of(StatusCode::OK, headers, &topup, said).await
    }

    /// Leads to a provider's page.
    pub(crate) async fn pay_topup(
        &self,
        headers: &HeaderMap,
        origin: &Origin,
        topup: Topup,
        provider: Provider,
    ) -> Result<Response> {
        let asked = Asked {
            org: OrgId::PLATFORM,
            what: What::Topup {
                org: topup.org,
                topup: topup.id,
            },
            provider,
        };
        match self.open(origin, asked).await? {
            Opened::At(url) => Ok(to(&url)),
            Opened::Not(status) => self.page_of(status, headers, &topup, Said::Unavailable).await,
        }
    }

    async fn page_of(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        topup: &Topup,
        said: Said<'_>,
    ) -> Result<Response> {
        let platform = Scope::<ReadBilling>::system(OrgId::PLATFORM);
        let buyer = Org::load(&self.app.table, &Scope::<ReadOrg>::system(topup.org)).await?;
        let seller = Org::load(&self.app.table, &Scope::<ReadOrg>::system(OrgId::PLATFORM)).await;
        let seller = seller.map_or_else(|_| "Countinghouse".to_owned(), |seller| seller.name);
        let locale = wished(headers);
        let own = words::of(locale.language());
        let is_paid = topup.status == TopupStatus::Succeeded;
        let is_under_way = matches!(said, Said::Of(payment) if payment.status() == payments::PaymentStatus::Processing);
        let providers = if is_paid || is_under_way {
            Vec::new()
        } else {
            account::configured(&self.app.table, &platform, &self.till).await?
        };
        let nonce = Nonce::new();
        let path = path(topup);
        let page = Page {
            lang: locale.language().code(),
            nonce: &nonce,
            accent: accent(None),
            own,
            title: own.credits.replace("{credits}", &credits(&locale, topup.credits)),
            state: if is_paid {
                ("paid", own.paid)
            } else {
                ("open", own.open)
            },
            from_to: from_to(own.from_to, &seller, &buyer.name),
            notice: notice(own, said, self.app.now(), &seller, &path),
            amount_name: locale.words().amount_due,
            amount: locale.money(topup.price),
            is_paid,
            choices: choices(&locale, own, &providers, topup.price, false),
            seller: &seller,
            path,
        };
        let html = page.render().context("a page")?;
        Ok(answer(status, self.policy, &nonce, html))
    }
}

/// A number of credits as the language writes it.
fn credits(locale: &Locale, credits: u64) -> String {
    let number = Fraction {
        digits: credits.into(),
        places: 0,
    };
    locale.number(number, 0)
}
