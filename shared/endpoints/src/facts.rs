//! What is told of endpoints themselves, to the organization's others.

use outbox::{Shown, facts};

use crate::delivery::DeliveryView;
use crate::endpoint::EndpointView;

facts! {
    /// An endpoint was disabled: it answered 410, or nothing for five days.
    pub EndpointDisabled(Shown<EndpointView>) "endpoint.disabled";
    /// The last attempt to tell an endpoint of an event has failed.
    pub DeliveryExhausted(Shown<DeliveryView>) "delivery.exhausted";
    /// What had been given up was delivered after all.
    pub DeliveryRecovered(Shown<DeliveryView>) "delivery.recovered";
}
