//! Buckets: who may call them from a page, and what is deleted when.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::intrinsics::bucket_arn;
use super::property::{flag, is, list_of, number, only, texts};

/// An S3 bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Logical id in the template.
    pub id: String,
    /// Name of the bucket.
    pub name: String,
    /// What pages of other origins may do; the first rule that fits counts.
    pub cors: Vec<CorsRule>,
    /// What is deleted by itself.
    pub lifecycle: Vec<LifecycleRule>,
}

impl Bucket {
    /// Yields the bucket's ARN.
    pub fn arn(&self) -> String {
        bucket_arn(&self.name)
    }
}

/// What pages of some origins may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsRule {
    /// Origins; one `*` in each stands for any text.
    pub origins: Vec<String>,
    /// Methods.
    pub methods: Vec<String>,
    /// Headers that requests may have, with `*` in the same sense.
    pub headers: Vec<String>,
    /// Headers of replies that scripts may read.
    pub exposed: Vec<String>,
    /// How long a browser may remember the answer, in seconds.
    pub max_age_s: Option<u32>,
}

/// What is deleted by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleRule {
    /// What the keys it is about begin with.
    pub prefix: String,
    /// Days after which an object is deleted.
    pub expires_after_days: Option<u32>,
    /// Days after which an upload that was not completed is aborted.
    pub aborts_after_days: Option<u32>,
}

pub(super) fn read(id: &str, name: String, properties: &Value) -> Result<Bucket> {
    const KIND: &str = "AWS::S3::Bucket";
    let read = [
        "BucketName",
        "CorsConfiguration",
        "LifecycleConfiguration",
        "VersioningConfiguration",
    ];
    // Encryption and the owner of objects are AWS's; whoever has no policy for a bucket is kept out of it here anyway.
    let elsewhere = [
        "BucketEncryption",
        "OwnershipControls",
        "PublicAccessBlockConfiguration",
        "Tags",
    ];
    only(KIND, properties, &[&read, &elsewhere])?;
    if let Some(versioning) = properties.get("VersioningConfiguration") {
        is("VersioningConfiguration", versioning, "Status", &["Suspended"])?;
    }
    let rules = |section: &str, list: &str| match properties.get(section) {
        Some(section_value) => {
            only(section, section_value, &[&[list]])?;
            Ok(list_of(&section_value[list]))
        }
        None => anyhow::Ok(Vec::new()),
    };
    let cors = rules("CorsConfiguration", "CorsRules")?;
    let lifecycle = rules("LifecycleConfiguration", "Rules")?;
    Ok(Bucket {
        id: id.to_owned(),
        name,
        cors: cors.iter().map(cors_rule).collect::<Result<_>>()?,
        lifecycle: lifecycle
            .iter()
            .filter_map(|rule| lifecycle_rule(rule).transpose())
            .collect::<Result<_>>()?,
    })
}

fn cors_rule(rule: &Value) -> Result<CorsRule> {
    let known = [
        "AllowedHeaders",
        "AllowedMethods",
        "AllowedOrigins",
        "ExposedHeaders",
        "MaxAge",
    ];
    only("a CORS rule", rule, &[&known, &["Id"]])?;
    let rule = CorsRule {
        origins: texts(&rule["AllowedOrigins"]),
        methods: texts(&rule["AllowedMethods"]),
        headers: texts(&rule["AllowedHeaders"]),
        exposed: texts(&rule["ExposedHeaders"]),
        max_age_s: number(rule, "MaxAge")?,
    };
    if rule.origins.is_empty() || rule.methods.is_empty() {
        bail!("a CORS rule needs AllowedOrigins and AllowedMethods");
    }
    if let Some(method) = rule
        .methods
        .iter()
        .find(|method| !["GET", "PUT", "POST", "DELETE", "HEAD"].contains(&method.as_str()))
    {
        bail!("a CORS rule has no method {method}");
    }
    Ok(rule)
}

/// Reads a rule of the life cycle; none if it is switched off.
fn lifecycle_rule(rule: &Value) -> Result<Option<LifecycleRule>> {
    let known = ["AbortIncompleteMultipartUpload", "ExpirationInDays", "Prefix", "Status"];
    only("a lifecycle rule", rule, &[&known, &["Id"]])?;
    is("a lifecycle rule", rule, "Status", &["Enabled", "Disabled"])?;
    let aborts = match rule.get("AbortIncompleteMultipartUpload") {
        Some(abort) => {
            only("AbortIncompleteMultipartUpload", abort, &[&["DaysAfterInitiation"]])?;
            Some(number(abort, "DaysAfterInitiation")?.context("no DaysAfterInitiation")?)
        }
        None => None,
    };
    let read = LifecycleRule {
        prefix: rule["Prefix"].as_str().unwrap_or_default().to_owned(),
        expires_after_days: number(rule, "ExpirationInDays")?,
        aborts_after_days: aborts,
    };
    Ok((rule["Status"] == "Enabled").then_some(read))
}

/// Checks the policy of a bucket: it may forbid calls without TLS, and let services of AWS read. Neither has anybody to
/// be about on one machine; what functions may do stands with them.
pub(super) fn policy(properties: &Value) -> Result<()> {
    only("AWS::S3::BucketPolicy", properties, &[&["Bucket", "PolicyDocument"]])?;
    only(
        "PolicyDocument",
        &properties["PolicyDocument"],
        &[&["Statement", "Version"]],
    )?;
    for statement in list_of(&properties["PolicyDocument"]["Statement"]) {
        let of_a_service = statement["Principal"].get("Service").is_some();
        let forbids_plain = statement["Effect"] == "Deny"
            && flag(&statement["Condition"]["Bool"], "aws:SecureTransport")? == Some(false);
        if !of_a_service && !forbids_plain {
            bail!(
                "of a bucket's policy, only a Deny without aws:SecureTransport and grants to services of AWS are known"
            );
        }
    }
    Ok(())
}
