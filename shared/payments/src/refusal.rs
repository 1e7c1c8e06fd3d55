//! Why something is not paid or given back.

kernel::refusals! {
    /// Why nothing is begun.
    CannotPay {
        /// Another payment of it is on its way.
        UnderWay = "payment_under_way": "a payment of this is under way at its provider; wait for what comes of it";
        /// The credits are in the wallet.
        ToppedUp = "topup_paid": "this top-up is paid";
        /// It is of a time before there were pages.
        NoPage = "topup_without_page": "this top-up has no page; ask for another one";
    }
    /// Why a credit note gives nothing back by the way it was paid.
    CannotGiveBack {
        /// No provider has it.
        NotByProvider = "not_refundable": "nothing of this was paid by a payment provider; without `refund` it goes to the client's balance";
        /// Providers have less of it.
        TooMuch = "refund_too_large": "that is more than payment providers can give back of this invoice; without `refund` it goes to the client's balance";
    }
    /// Why nothing is given back.
    CannotRefund {
        /// A person recorded it.
        ByHand = "not_refundable": "this payment came from outside; give the money back the way it came";
        /// Nothing came.
        NotPaid = "payment_not_received": "nothing was received by this payment";
        /// It is contested.
        Disputed = "payment_disputed": "its payer contests this payment; the dispute decides where the money goes";
        /// All went back.
        NothingLeft = "nothing_to_refund": "all of this payment went back, or is about to";
        /// That much is not left.
        TooMuch = "refund_too_large": "that is more than is left of this payment";
        /// So many refunds are one payment's at most.
        TooMany = "too_many_refunds": "a payment has at most 100 refunds";
    }
}
