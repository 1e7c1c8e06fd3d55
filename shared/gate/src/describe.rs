//! What guards add to the description of the routes behind them: whom they let in, which headers they read, and how they
//! refuse.

use kernel::{OrgId, Problem};
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Components, HttpMethod, OpenApi, OpenApiBuilder, Paths, RefOr};
use utoipa::{IntoParams, IntoResponses};

use crate::gate::ORG_PARAMETER;
use crate::routes::{Described, Kind};

/// The header that names the organization.
#[derive(IntoParams)]
#[into_params(parameter_in = Header, names("x-org-id"))]
struct OrgHeader(
    /// The organization to act in.
    #[expect(dead_code, reason = "only described; the gate reads the header")]
    OrgId,
);

/// The header that makes a POST safe to send again.
#[derive(IntoParams)]
#[into_params(parameter_in = Header, names("Idempotency-Key"))]
struct IdempotencyKey(
    /// 1 to 255 visible ASCII characters. The same key with the same body within 24 hours is answered with the first reply
    /// and `Idempotent-Replayed: true`; with another body, 422.
    #[param(min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    #[expect(dead_code, reason = "only described; `remember` reads the header")]
    Option<String>,
);

/// A description that is being written.
#[derive(Default)]
pub(crate) struct Description {
    paths: Paths,
    components: Components,
}

impl Description {
    /// Adds an operation that lies behind these guards.
    pub(crate) fn add(&mut self, path: &str, method: HttpMethod, described: Described, guards: &[Kind]) {
        let (mut operation, schemas) = described;
        for guard in guards {
            guarded(&mut operation, path, &method, *guard);
        }
        self.components.schemas.extend(schemas);
        self.paths.add_path_operation(path, vec![method], operation);
    }

    pub(crate) fn done(self) -> OpenApi {
        OpenApiBuilder::new()
            .paths(self.paths)
            .components(Some(self.components))
            .build()
    }
}

/// Writes what a guard does to an operation.
fn guarded(operation: &mut Operation, path: &str, method: &HttpMethod, guard: Kind) {
    let nobody = Vec::<String>::new;
    match guard {
        Kind::Remembering if *method == HttpMethod::Post => {
            takes(operation, IdempotencyKey::into_params(|| None));
        }
        Kind::Remembering | Kind::Address => {}
        Kind::Person => operation.security = Some(vec![SecurityRequirement::new("bearer", nobody())]),
        Kind::PersonOrNobody => {
            let choices = [
                SecurityRequirement::default(),
                SecurityRequirement::new("bearer", nobody()),
            ];
            operation.security = Some(choices.into());
        }
        Kind::Member => {
            operation.security = Some(vec![SecurityRequirement::new("bearer", nobody())]);
            if !path.contains(&format!("{{{ORG_PARAMETER}}}")) {
                takes(operation, OrgHeader::into_params(|| None));
            }
        }
        Kind::ApiKey => operation.security = Some(vec![SecurityRequirement::new("apiKey", nobody())]),
    }
    for (status, response) in Problem::responses() {
        operation.responses.responses.entry(status).or_insert(response);
    }
}

fn takes(operation: &mut Operation, parameters: Vec<Parameter>) {
    let all = operation.parameters.get_or_insert_default();
    all.extend(parameters.into_iter().map(RefOr::T));
}
