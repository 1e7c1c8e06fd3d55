//! Routes in groups, each behind its guards. Knows how to serve them, and in which order they are asked.

use axum::Router;
use axum::extract::FromRef;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use lambda::App;
use metering::Meter;
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{HttpMethod, OpenApi, RefOr, Schema};

use crate::describe::Description;
use crate::gate::{self, Gate};
use crate::metered::{self, Till};
use crate::once;

/// Lists handlers of this module that `utoipa::path` describes: `routes![create, list]`.
#[macro_export]
macro_rules! routes {
    ($($handler:ident),+ $(,)?) => {
        $crate::paste! { vec![$($crate::Route::of::<[<__path_ $handler>], _, _>($handler)),+] }
    };
}

/// What `utoipa::path` says of a handler: the operation, and the schemas that it names.
pub(crate) type Described = (Operation, Vec<(String, RefOr<Schema>)>);

/// One method of one path, and the handler that answers it.
pub struct Route<S> {
    pub(crate) path: String,
    pub(crate) method: HttpMethod,
    handler: MethodRouter<S>,
    /// Called only where the route is described: making it costs more than serving a request.
    pub(crate) describe: fn() -> Described,
}

impl<S: Clone + Send + Sync + 'static> Route<S> {
    /// A handler at the path and the method that `P`, which `utoipa::path` made of it, says.
    ///
    /// # Panics
    /// If `P` has not one method, or one that handlers cannot have.
    pub fn of<P, H, T>(handler: H) -> Self
    where
        P: utoipa::Path + SchemaReferences + for<'t> Tags<'t>,
        H: Handler<T, S>,
        T: 'static,
    {
        let methods = P::methods();
        let [method] = methods.as_slice() else {
            panic!("{} has not one method", P::path());
        };
        Self {
            path: P::path(),
            method: method.clone(),
            handler: on(filter(method), handler),
            describe: || {
                let mut schemas = Vec::new();
                P::schemas(&mut schemas);
                let mut operation = P::operation();
                operation.tags = Some(P::tags().into_iter().map(str::to_owned).collect());
                (operation, schemas)
            },
        }
    }
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Options => MethodFilter::OPTIONS,
        HttpMethod::Trace => MethodFilter::TRACE,
    }
}

/// What a guard does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Remembers replies by `Idempotency-Key`.
    Remembering,
    /// Limits by address.
    Address,
    /// Limits by address, as for pages.
    Visitor,
    /// Limits by address, as for what proves nothing yet.
    Stranger,
    /// Wants a person, and limits by them.
    Person,
    /// Looks whether there is a person.
    PersonOrNobody,
    /// Wants a member.
    Member,
    /// Wants a member, or somebody with a role on the platform.
    MemberOrStaff,
    /// Wants an API key.
    ApiKey,
}

impl Kind {
    /// Whether it counts calls, and its replies tell what is left.
    pub(crate) fn limits(self) -> bool {
        match self {
            Self::Address
            | Self::Visitor
            | Self::Stranger
            | Self::Person
            | Self::Member
            | Self::MemberOrStaff
            | Self::ApiKey => true,
            Self::Remembering | Self::PersonOrNobody => false,
        }
    }
}

/// What it is, and how it is put around routes.
pub(crate) struct Guard<S> {
    pub(crate) kind: Kind,
    layer: Layer<S>,
}

/// Puts a guard around routes.
type Layer<S> = Box<dyn Fn(&S, Router<S>) -> Router<S>>;

/// Routes behind the same guards, the innermost first.
pub(crate) struct Group<S> {
    pub(crate) routes: Vec<Route<S>>,
    pub(crate) guards: Vec<Guard<S>>,
}

/// The routes of a function whose handlers take parts of `S`.
#[must_use]
pub struct Routes<S>(pub(crate) Vec<Group<S>>);

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet.
    #[expect(clippy::new_without_default, reason = "no routes are nothing to fall back on")]
    pub fn new() -> Self {
        Self(Vec::new())
    }

    fn group(mut self, routes: Vec<Route<S>>, guards: Vec<Guard<S>>) -> Self {
        self.0.push(Group { routes, guards });
        self
    }

    /// Adds routes that let everyone in and look at nobody.
    pub fn open(self, routes: Vec<Route<S>>) -> Self {
        self.group(routes, Vec::new())
    }

    /// Adds routes that let everyone in, and honour `Idempotency-Key`.
    pub fn public(self, routes: Vec<Route<S>>) -> Self
    where
        App: FromRef<S>,
    {
        self.group(routes, vec![remembering()])
    }

    /// Adds routes that let in who is logged in.
    pub fn signed_in(self, routes: Vec<Route<S>>) -> Self
    where
        App: FromRef<S>,
        Gate: FromRef<S>,
    {
        let person = Guard {
            kind: Kind::Person,
            layer: Box::new(|state, routes| {
                routes.route_layer(from_fn_with_state(Gate::from_ref(state), gate::person))
            }),
        };
        self.group(routes, vec![remembering(), person])
    }

    /// Adds routes that let in who is logged in, also before they have the factor that is demanded of them: those that add it.
    pub fn own_account(self, routes: Vec<Route<S>>) -> Self
    where
        App: FromRef<S>,
        Gate: FromRef<S>,
    {
        let person = Guard {
            kind: Kind::Person,
            layer: Box::new(|state, routes| {
                routes.route_layer(from_fn_with_state(Gate::from_ref(state), gate::own_account))
            }),
        };
        self.group(routes, vec![remembering(), person])
    }

    /// Adds routes that let everyone in, and find out who is logged in.
    pub fn anyone(self, routes: Vec<Route<S>>) -> Self
    where
        Gate: FromRef<S>,
    {
        let guard = Guard {
            kind: Kind::PersonOrNobody,
            layer: Box::new(|state, routes| {
                routes.route_layer(from_fn_with_state(Gate::from_ref(state), gate::person_or_nobody))
            }),
        };
        self.group(routes, vec![guard])
    }

    /// Adds routes that let in members of the organization that the path parameter `orgId` names, or else the header
    /// `x-org-id`.
    pub fn members(self, routes: Vec<Route<S>>) -> Self
    where
        App: FromRef<S>,
        Gate: FromRef<S>,
    {
        let member = Guard {
            kind: Kind::Member,
            layer: Box::new(|state, routes| {
                routes.route_layer(from_fn_with_state(Gate::from_ref(state), gate::member))
            }),
        };
        self.group(routes, vec![remembering(), member])
    }

    /// Adds routes that let in members of the organization that the header `x-org-id` names, and without it who has a role on
    /// the platform.
    pub fn members_or_staff(self, routes: Vec<Route<S>>) -> Self
    where
        App: FromRef<S>,
        Gate: FromRef<S>,
    {
        let either = Guard {
            kind: Kind::MemberOrStaff,
            layer: Box::new(|state, routes| {
                routes.route_layer(from_fn_with_state(Gate::from_ref(state), gate::member_or_staff))
            }),
        };
        self.group(routes, vec![remembering(), either])
    }

    /// Adds routes that let in servers with an API key whose organization can pay for `operation`, and honour
    /// `Idempotency-Key`. A handler that takes [`Metered`](crate::Metered) says what was paid for; where none does, a call
    /// that succeeds is one operation.
    pub fn api_key(self, operation: metering::Operation, routes: Vec<Route<S>>) -> Self
    where
        App: FromRef<S>,
        Gate: FromRef<S>,
        Meter: FromRef<S>,
    {
        let server = Guard {
            kind: Kind::ApiKey,
            layer: Box::new(move |state, routes| {
                let till = Till {
                    gate: Gate::from_ref(state),
                    meter: Meter::from_ref(state),
                    operation,
                };
                routes.route_layer(from_fn_with_state(till, metered::server))
            }),
        };
        self.group(routes, vec![remembering(), server])
    }

    /// Adds routes that let in as many calls a minute as one address may make, all of this kind together, before their
    /// own guards are asked: for those that anyone may try, and that hash a password or send a mail.
    pub fn by_address(self, routes: Routes<S>) -> Self
    where
        Gate: FromRef<S>,
    {
        self.behind(routes, || Guard {
            kind: Kind::Address,
            layer: Box::new(|state, routes| {
                routes.route_layer(from_fn_with_state(Gate::from_ref(state), gate::address))
            }),
        })
    }

    /// Adds routes that let in as many calls a minute as one address may make that prove nothing yet, all of this kind
    /// together: for those that anyone may try, with a token that cannot be guessed.
    pub fn strangers(self, routes: Routes<S>) -> Self
    where
        Gate: FromRef<S>,
    {
        self.behind(routes, || Guard {
            kind: Kind::Stranger,
            layer: Box::new(|state, routes| {
                routes.route_layer(from_fn_with_state(Gate::from_ref(state), gate::stranger))
            }),
        })
    }

    /// Adds routes, each group of them behind one more guard, which is asked before its own.
    fn behind(mut self, routes: Routes<S>, guard: impl Fn() -> Guard<S>) -> Self {
        for mut group in routes.0 {
            group.guards.push(guard());
            self.0.push(group);
        }
        self
    }

    /// Adds pages and what belongs to them, for whoever has a link: as many calls a minute as one address may make to all
    /// of them together.
    pub fn visitors(self, routes: Vec<Route<S>>) -> Self
    where
        Gate: FromRef<S>,
    {
        let visitor = Guard {
            kind: Kind::Visitor,
            layer: Box::new(|state, routes| {
                routes.route_layer(from_fn_with_state(Gate::from_ref(state), gate::visitor))
            }),
        };
        self.group(routes, vec![visitor])
    }

    /// Adds the routes of another list.
    pub fn and(mut self, others: Routes<S>) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Serves them.
    pub fn serve(self, state: &S) -> Router {
        let mut all = Router::new();
        for group in self.0 {
            let mut routes = Router::new();
            for route in group.routes {
                routes = routes.route(&route.path, route.handler);
            }
            for guard in group.guards {
                routes = (guard.layer)(state, routes);
            }
            all = all.merge(routes);
        }
        all.with_state(state.clone())
    }

    /// Describes them.
    pub fn describe(self) -> OpenApi {
        let mut description = Description::default();
        for group in self.0 {
            let guards: Vec<Kind> = group.guards.iter().map(|guard| guard.kind).collect();
            for route in group.routes {
                description.add(&route.path, route.method, (route.describe)(), &guards);
            }
        }
        description.done()
    }
}

fn remembering<S>() -> Guard<S>
where
    S: Clone + Send + Sync + 'static,
    App: FromRef<S>,
{
    Guard {
        kind: Kind::Remembering,
        layer: Box::new(|state, routes| routes.route_layer(from_fn_with_state(App::from_ref(state), once::remember))),
    }
}
