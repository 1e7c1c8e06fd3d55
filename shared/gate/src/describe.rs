//! What guards add to the description of the routes behind them: whom they let in, which headers they read, and how they
//! refuse.

use kernel::{OrgId, Problem};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Components, HttpMethod, Object, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, Type};
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

/// The header that may name the organization.
#[derive(IntoParams)]
#[into_params(parameter_in = Header, names("x-org-id"))]
struct OptionalOrgHeader(
    /// The organization to act in, if it is to be in one. Where that is for platform admins alone, everybody else is refused
    /// (403 `missing_org`).
    #[param(inline)]
    #[expect(dead_code, reason = "only described; the gate reads the header")]
    Option<OrgId>,
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
        if guards.iter().any(|guard| guard.limits()) {
            limited(&mut operation);
            self.components.headers.extend(limit_headers());
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
        Kind::Remembering | Kind::Address | Kind::Visitor | Kind::Stranger => {}
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
        Kind::MemberOrStaff | Kind::PersonOrMember => {
            operation.security = Some(vec![SecurityRequirement::new("bearer", nobody())]);
            takes(operation, OptionalOrgHeader::into_params(|| None));
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

/// What replies of limited operations carry besides: every one that a handler gave, and the one that refuses.
fn limited(operation: &mut Operation) {
    let header = |name: &str| {
        (
            name.to_owned(),
            RefOr::Ref(Ref::new(format!("#/components/headers/{name}"))),
        )
    };
    for (status, response) in &mut operation.responses.responses {
        let (RefOr::T(response), refuses) = (response, status == TOO_MANY) else {
            continue;
        };
        if refuses || status.starts_with(['2', '3']) {
            response.headers.extend([header(POLICY), header(LEFT)]);
        }
        if refuses {
            response.headers.extend([header(RETRY)]);
        }
    }
}

const TOO_MANY: &str = "429";
const POLICY: &str = "RateLimit-Policy";
const LEFT: &str = "RateLimit";
const RETRY: &str = "Retry-After";

fn limit_headers() -> [(String, RefOr<Header>); 3] {
    let header = |name: &str, kind: Type, description: &str| {
        let header = HeaderBuilder::new()
            .schema(Some(Object::with_type(kind)))
            .description(Some(description));
        (name.to_owned(), RefOr::T(header.build()))
    };
    [
        header(
            POLICY,
            Type::String,
            "Every limit of the caller by name, its calls and its seconds: `\"key\";q=6000;w=60, \"tenant\";q=60000;w=60`.",
        ),
        header(
            LEFT,
            Type::String,
            "What is left of each, and in how many seconds it begins anew: `\"key\";r=5999;t=42, \"tenant\";r=59998;t=42`.",
        ),
        header(RETRY, Type::Integer, "In how many seconds to call again."),
    ]
}
