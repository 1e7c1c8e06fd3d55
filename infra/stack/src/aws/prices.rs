//! The one table of prices, and what counted things come to. List prices of us-east-1, in US dollars, without free
//! tiers, as of November 2026:
//! <https://aws.amazon.com/api-gateway/pricing/>, <https://aws.amazon.com/lambda/pricing/>,
//! <https://aws.amazon.com/sqs/pricing/>, <https://aws.amazon.com/dynamodb/pricing/on-demand/>,
//! <https://aws.amazon.com/cloudwatch/pricing/>, <https://aws.amazon.com/ec2/pricing/on-demand/> (data out).

/// A request to an HTTP API; each 512 KiB of it is one.
pub const API_REQUEST: f64 = 1.00 / MILLION;
/// An invocation of a function.
pub const LAMBDA_REQUEST: f64 = 0.20 / MILLION;
/// A gigabyte-second of a function on arm64.
pub const LAMBDA_GB_SECOND: f64 = 0.000_013_333_4;
/// A request to a standard queue; each 64 KiB of it is one.
pub const SQS_REQUEST: f64 = 0.40 / MILLION;
/// A write request unit.
pub const WRITE_UNIT: f64 = 0.625 / MILLION;
/// A read request unit.
pub const READ_UNIT: f64 = 0.125 / MILLION;
/// A gigabyte of logs taken in.
pub const LOG_GB: f64 = 0.50;
/// A gigabyte of replies to the internet.
pub const DATA_OUT_GB: f64 = 0.09;
/// A gigabyte kept in `DynamoDB` for a month.
pub const STORED_GB_MONTH: f64 = 0.25;

const MILLION: f64 = 1_000_000.0;
const GB: f64 = 1_073_741_824.0;

/// What one operation uses; averages, so parts of a request are possible.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// Requests to the HTTP API.
    pub api_requests: f64,
    /// Invocations of functions.
    pub invocations: f64,
    /// What they take, by [`billed_ms`].
    pub gb_seconds: f64,
    /// Requests to queues: sends, receives and deletes.
    pub sqs_requests: f64,
    /// Write request units.
    pub write_units: f64,
    /// Read request units.
    pub read_units: f64,
    /// Bytes that functions and Lambda itself log.
    pub log_bytes: f64,
    /// Bytes of replies.
    pub reply_bytes: f64,
}

impl Counts {
    /// What it costs.
    pub fn dollars(&self) -> f64 {
        self.api_requests * API_REQUEST
            + self.invocations * LAMBDA_REQUEST
            + self.gb_seconds * LAMBDA_GB_SECOND
            + self.sqs_requests * SQS_REQUEST
            + self.write_units * WRITE_UNIT
            + self.read_units * READ_UNIT
            + self.log_bytes / GB * LOG_GB
            + self.reply_bytes / GB * DATA_OUT_GB
    }
}

/// The milliseconds that Lambda bills for an invocation, assumed: its CPU time at a full core, as `cargo local bench`
/// measures it and rounded up, stretched to the share of a core that `memory_mib` buys (1,769 MiB are one core); and
/// 5 ms for each request to a service, as if none ran beside another.
pub fn billed_ms(memory_mib: u32, cpu_ms: f64, requests: f64) -> f64 {
    const ONE_CORE_MIB: f64 = 1_769.0;
    const SERVICE_MS: f64 = 5.0;
    let stretch = (ONE_CORE_MIB / f64::from(memory_mib)).max(1.0);
    (cpu_ms * stretch + SERVICE_MS * requests).ceil()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_with_little_memory_is_billed_for_longer() {
        // 2 ms at 1769/256 of the time, and 3 requests: 13.8 + 15.
        assert!((billed_ms(256, 2.0, 3.0) - 29.0).abs() < 1e-9);
        assert!((billed_ms(3_538, 2.0, 0.0) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn dollars_are_the_sum_of_all_kinds() {
        let counts = Counts {
            api_requests: 1.0,
            invocations: 2.0,
            sqs_requests: 3.0,
            write_units: 10.0,
            ..Counts::default()
        };
        // 1.00 + 0.40 + 1.20 + 6.25 dollars a million.
        assert!((counts.dollars() * MILLION - 8.85).abs() < 1e-6);
    }
}
