//! The template language.

use super::*;

fn parse(resources: &str) -> Result<Template> {
    Template::parse(resources, &BTreeMap::from([("Secret".to_owned(), "s3cret".to_owned())]))
}

const SMALL: &str = r#"
Parameters:
  Secret: {Type: String}
  Origins: {Type: CommaDelimitedList, Default: "http://a, http://b"}
Globals:
  Function:
    Timeout: 7
    Environment: {Variables: {SECRET: !Ref Secret, TABLE: !Ref Things}}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties: {CorsConfiguration: {AllowOrigins: !Ref Origins, AllowMethods: [GET], MaxAge: 60}}
  Things:
    Type: AWS::DynamoDB::Table
    Properties: &table
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: expiresAt, Enabled: true}
  Others: {Type: AWS::DynamoDB::Table, Properties: *table}
  Work:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 12
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3}
  Dead: {Type: AWS::SQS::Queue}
  Worker:
    Type: AWS::Serverless::Function
    Metadata: {BuildProperties: {Binary: worker}}
    Properties:
      MemorySize: 512
      Environment: {Variables: {QUEUE: !Ref Work, WHO: !Sub "${AWS::Region}/${Secret}/${Things.Arn}/${!Literal}"}}
      Events:
        Queue: {Type: SQS, Properties: {Queue: !GetAtt Work.Arn, BatchSize: 4, FunctionResponseTypes: [ReportBatchItemFailures]}}
        Tick: {Type: Schedule, Properties: {Schedule: rate(5 minutes)}}
        Get: {Type: HttpApi, Properties: {Method: get, Path: "/things/{id}"}}
      Policies:
        - Statement:
            - {Effect: Allow, Action: "dynamodb:*", Resource: !Sub "${Things.Arn}/index/*"}
"#;

#[test]
fn references_defaults_and_globals_are_resolved() {
    let template = parse(SMALL).unwrap();
    let worker = template.function("worker").unwrap();
    assert_eq!(worker.timeout_s, 7);
    assert_eq!(worker.memory_mib, 512);
    assert_eq!(worker.environment["SECRET"], "s3cret");
    assert_eq!(worker.environment["TABLE"], "Things");
    assert_eq!(
        worker.environment["QUEUE"],
        "https://sqs.us-east-1.amazonaws.com/000000000000/Work"
    );
    let table = "arn:aws:dynamodb:us-east-1:000000000000:table/Things";
    assert_eq!(
        worker.environment["WHO"],
        format!("us-east-1/s3cret/{table}/${{Literal}}")
    );
    assert_eq!(worker.policy[0].resources, [format!("{table}/index/*")]);
    assert_eq!(worker.queues[0].batch_size, 4);
    assert!(worker.queues[0].reports_failures);
    assert_eq!(worker.schedules[0].name, "WorkerTick");
    assert_eq!(template.cors.unwrap().allow_origins, ["http://a", "http://b"]);
    let route = Route {
        method: "GET".into(),
        path: "/things/{id}".into(),
        function: "Worker".into(),
    };
    assert_eq!(template.routes, [route]);
}

#[test]
fn anchors_make_tables_alike() {
    let template = parse(SMALL).unwrap();
    assert_eq!(template.tables.len(), 2);
    assert_eq!(template.tables[1].create["TableName"], "Others");
    assert_eq!(template.tables[1].ttl_attribute.as_deref(), Some("expiresAt"));
}

#[test]
fn a_grant_may_be_for_some_keys() {
    let condition = r#"Condition: {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [PROBE]}, "Null": {"dynamodb:LeadingKeys": "false"}}"#;
    let text = SMALL.replace(
        "Action: \"dynamodb:*\"",
        &format!("Action: \"dynamodb:*\", {condition}"),
    );
    let template = parse(&text).unwrap();
    let [equals, present] = &template.function("worker").unwrap().policy[0].conditions[..] else {
        panic!("not two conditions");
    };
    assert_eq!(
        (equals.key.as_str(), &equals.values[..]),
        ("dynamodb:LeadingKeys", ["PROBE".to_owned()].as_slice())
    );
    assert_eq!(
        (present.test, &present.values[..]),
        (Test::Null, ["false".to_owned()].as_slice())
    );
}

#[test]
fn a_table_may_forbid_everybody_something() {
    let policy = r#"{Statement: {Effect: Deny, Principal: "*", Action: "dynamodb:DeleteItem", Resource: "*"}}"#;
    let text = SMALL.replace(
        "TimeToLive",
        &format!("ResourcePolicy: {{PolicyDocument: {policy}}}\n      TimeToLive"),
    );
    let template = parse(&text).unwrap();
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/Things";
    assert_eq!(
        template.tables[0].denials[0].resources,
        [arn.to_owned(), format!("{arn}/index/*")]
    );
    let worker = template.function("worker").unwrap();
    assert_eq!(worker.policy[0].effect, Effect::Allow);
}

#[test]
fn queues_know_where_their_dead_letters_go() {
    let template = parse(SMALL).unwrap();
    let redrive = Redrive {
        dead_letter_queue: "Dead".into(),
        max_receive_count: 3,
    };
    assert_eq!(template.queues[0].redrive, Some(redrive));
    assert_eq!(template.queues[0].visibility_timeout_s, 12);
}

fn check_refused(resources: &str, expected: &str) {
    let text = format!("Resources:\n  It:\n{resources}");
    let error = format!("{:#}", Template::parse(&text, &BTreeMap::new()).unwrap_err());
    assert!(error.contains(expected), "{error}");
}

#[test]
fn what_cannot_be_served_is_named() {
    check_refused("    Type: AWS::Kinesis::Stream", "AWS::Kinesis::Stream");
    check_refused("    {Type: AWS::SQS::Queue, Properties: {FifoQueue: true}}", "FIFO");
    check_refused(
        "    {Type: AWS::SQS::Queue, Properties: {QueueName: x, DelaySeconds: !If [a, 1, 2]}}",
        "Fn::If",
    );
    check_refused(
        "    {Type: AWS::SQS::Queue, Properties: {DelaySeconds: !Ref Nothing}}",
        "Nothing",
    );
    let head = "    Type: AWS::Serverless::Function\n    Metadata: {BuildProperties: {Binary: it}}\n    Properties:\n";
    check_refused(&format!("{head}      Events: {{A: {{Type: Kinesis}}}}"), "Kinesis");
    check_refused(
        &format!("{head}      Policies: [AmazonS3FullAccess]"),
        "AmazonS3FullAccess",
    );
    let condition = "{Statement: {Effect: Allow, Action: a, Resource: b, Condition: {}}}";
    check_refused(&format!("{head}      Policies: [{condition}]"), "Condition");
    let keys = r#"{"dynamodb:LeadingKeys": ["A#*"]}"#;
    let absent = r#""Null": {"dynamodb:LeadingKeys": "false"}"#;
    for (effect, condition) in [
        // Holds for a request without keys as well.
        ("Allow", format!(r#""ForAllValues:StringLike": {keys}"#)),
        // Of texts that are compared whole, `*` is no pattern.
        ("Allow", format!(r#""ForAllValues:StringEquals": {keys}, {absent}"#)),
        ("Deny", format!(r#""ForAllValues:StringLike": {keys}, {absent}"#)),
    ] {
        let statement = format!("{{Effect: {effect}, Action: a, Resource: b, Condition: {{{condition}}}}}");
        check_refused(
            &format!("{head}      Policies: [{{Statement: {statement}}}]"),
            "LeadingKeys",
        );
    }
    let table = |statement: &str| {
        format!(
            "    {{Type: AWS::DynamoDB::Table, Properties: {{ResourcePolicy: {{PolicyDocument: {{Statement: {statement}}}}}}}}}"
        )
    };
    let grant = r#"{Effect: Allow, Principal: "*", Action: a, Resource: "*"}"#;
    let of_one = r#"{Effect: Deny, Principal: {AWS: x}, Action: a, Resource: "*"}"#;
    check_refused(&table(grant), "only a Deny of everybody");
    check_refused(&table(of_one), "only a Deny of everybody");
}

#[test]
fn a_parameter_without_a_value_is_named() {
    let error = Template::parse(SMALL, &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("Secret"), "{error}");
}

/// A resource with one property too many is refused, and the error names both.
fn check_property(kind: &str, properties: &str, named: &str) {
    let metadata = "Metadata: {BuildProperties: {Binary: it}}";
    let text = format!("Resources: {{It: {{Type: '{kind}', {metadata}, Properties: {{{properties}}}}}}}");
    let error = format!("{:#}", Template::parse(&text, &BTreeMap::new()).unwrap_err());
    assert!(
        error.contains("in resource It") && error.contains(named),
        "{properties}: {error}"
    );
}

#[test]
fn a_property_of_a_function_that_is_not_served_is_named() {
    for (properties, named) in [
        ("PackageType: Image", "PackageType"),
        ("EphemeralStorage: {Size: 1024}", "EphemeralStorage"),
        ("Layers: [a]", "Layers"),
        ("EventInvokeConfig: {MaximumRetryAttempts: 1}", "EventInvokeConfig"),
        ("Tracing: Always", "Tracing"),
        ("Runtime: nodejs24.x", "Runtime"),
        ("ReservedConcurrentExecutions: 0", "ReservedConcurrentExecutions"),
        ("LoggingConfig: {LogFormat: JSON}", "LogFormat"),
        ("LoggingConfig: {SystemLogLevel: WARN}", "SystemLogLevel"),
        ("Environment: {variables: {A: b}}", "variables"),
        (
            "Policies: {Statement: [{Effect: Allow, NotAction: a, Resource: b}]}",
            "NotAction",
        ),
        ("Events: {A: {Type: HttpApi, Properties: {Auth: {}}}}", "Auth"),
        (
            "Events: {A: {Type: HttpApi, Properties: {PayloadFormatVersion: '1.0'}}}",
            "PayloadFormatVersion",
        ),
        (
            "Events: {A: {Type: SQS, Properties: {Queue: 'a:b', FilterCriteria: {}}}}",
            "FilterCriteria",
        ),
        (
            "Events: {A: {Type: SQS, Properties: {Queue: 'a:b', FunctionResponseTypes: [All]}}}",
            "All",
        ),
        (
            "Events: {A: {Type: Schedule, Properties: {Schedule: rate(1 day), RetryPolicy: {}}}}",
            "RetryPolicy",
        ),
        (
            "Events: {A: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 day), FlexibleTimeWindow: {Mode: FLEXIBLE}}}}",
            "Mode",
        ),
    ] {
        check_property("AWS::Serverless::Function", properties, named);
    }
}

#[test]
fn a_property_of_another_resource_that_is_not_served_is_named() {
    for (properties, named) in [
        (
            "StreamSpecification: {StreamViewType: KEYS_ONLY}",
            "StreamSpecification",
        ),
        ("BillingMode: PROVISIONED", "BillingMode"),
        (
            "GlobalSecondaryIndexes: [{IndexName: a, OnDemandThroughput: {}}]",
            "OnDemandThroughput",
        ),
        ("TimeToLiveSpecification: {AttributeName: a, Enable: true}", "Enable"),
        ("DeletionProtectionEnabled: perhaps", "DeletionProtectionEnabled"),
    ] {
        check_property("AWS::DynamoDB::Table", properties, named);
    }
    check_property("AWS::SQS::Queue", "RedriveAllowPolicy: {}", "RedriveAllowPolicy");
    check_property(
        "AWS::SQS::Queue",
        "RedrivePolicy: {maxReceiveCount: 1, target: a}",
        "target",
    );
    check_property("AWS::Serverless::HttpApi", "Auth: {}", "Auth");
    check_property(
        "AWS::Serverless::HttpApi",
        "DefaultRouteSettings: {ThrottlingRateLimit: 1}",
        "ThrottlingBurstLimit",
    );
    check_property("AWS::Logs::LogGroup", "RetentionInDays: long", "RetentionInDays");
    check_property(
        "AWS::Logs::LogGroup",
        "DataProtectionPolicy: {}",
        "DataProtectionPolicy",
    );
}

#[test]
fn a_property_of_a_bucket_that_is_not_served_is_named() {
    for (properties, named) in [
        ("AccessControl: PublicRead", "AccessControl"),
        ("NotificationConfiguration: {}", "NotificationConfiguration"),
        ("VersioningConfiguration: {Status: Enabled}", "Enabled"),
        ("CorsConfiguration: {Rules: []}", "Rules"),
        (
            "CorsConfiguration: {CorsRules: [{AllowedOrigins: [a], AllowedMethods: [GET], ExposeHeaders: [ETag]}]}",
            "ExposeHeaders",
        ),
        (
            "CorsConfiguration: {CorsRules: [{AllowedOrigins: [a]}]}",
            "AllowedMethods",
        ),
        (
            "CorsConfiguration: {CorsRules: [{AllowedOrigins: [a], AllowedMethods: [PATCH]}]}",
            "PATCH",
        ),
        (
            "LifecycleConfiguration: {Rules: [{Status: Enabled, Transitions: []}]}",
            "Transitions",
        ),
        ("LifecycleConfiguration: {Rules: [{Status: On}]}", "On"),
        (
            "LifecycleConfiguration: {Rules: [{Status: Enabled, AbortIncompleteMultipartUpload: {Days: 1}}]}",
            "Days",
        ),
        (
            "LifecycleConfiguration: {Rules: [{Status: Enabled, ExpirationInDays: soon}]}",
            "ExpirationInDays",
        ),
    ] {
        check_property("AWS::S3::Bucket", properties, named);
    }
    for (properties, named) in [
        ("Bucket: a, Policy: {}", "Policy"),
        (
            "Bucket: a, PolicyDocument: {Statement: {Effect: Allow, Principal: '*', Action: 's3:GetObject', Resource: b}}",
            "only a Deny without aws:SecureTransport",
        ),
    ] {
        check_property("AWS::S3::BucketPolicy", properties, named);
    }
}

#[test]
fn a_bucket_has_rules_for_pages_and_for_what_is_over() {
    let template = parse(&format!(
        "{SMALL}{}",
        r#"
  Files:
    Type: AWS::S3::Bucket
    Properties:
      CorsConfiguration: {CorsRules: [{AllowedOrigins: !Ref Origins, AllowedMethods: [PUT], ExposedHeaders: [ETag], MaxAge: 60}]}
      LifecycleConfiguration:
        Rules:
          - {Status: Enabled, AbortIncompleteMultipartUpload: {DaysAfterInitiation: 1}}
          - {Status: Disabled, Prefix: "tmp/", ExpirationInDays: 2}
"#
    ))
    .unwrap();
    let [files] = &template.buckets[..] else {
        panic!("{:?}", template.buckets)
    };
    assert_eq!(files.cors[0].origins, ["http://a", "http://b"]);
    assert_eq!(
        (files.cors[0].exposed[0].as_str(), files.cors[0].max_age_s),
        ("ETag", Some(60))
    );
    let rules: Vec<_> = files
        .lifecycle
        .iter()
        .map(|it| (it.aborts_after_days, it.expires_after_days))
        .collect();
    assert_eq!(rules, [(Some(1), None)]);
}

#[test]
fn a_section_that_is_not_served_is_named() {
    for section in [
        "Conditions: {}",
        "Mappings: {}",
        "Globals: {Api: {}}",
        "Transform: AWS::Include",
    ] {
        let error = Template::parse(&format!("{section}\nResources: {{}}"), &BTreeMap::new()).unwrap_err();
        let name = section.split([':', '{']).next().unwrap();
        assert!(error.to_string().contains(name), "{error}");
    }
    check_refused("    {Type: AWS::SQS::Queue, Condition: Sometimes}", "Condition");
}

#[test]
fn what_several_resources_share_may_stand_at_the_head() {
    let head = r#"
Metadata:
  Statements:
    - &send {Effect: Allow, Action: "sqs:SendMessage", Resource: !GetAtt Work.Arn}
"#;
    let text = format!(
        "{head}{}",
        SMALL.replace("- Statement:\n", "- Statement:\n            - *send\n")
    );
    let policy = parse(&text).unwrap().functions.remove(0).policy;
    assert_eq!(policy[0].actions, ["sqs:SendMessage"]);
    assert_eq!(policy[0].resources, ["arn:aws:sqs:us-east-1:000000000000:Work"]);
}

#[test]
fn functions_have_log_groups_and_apis_a_bound() {
    let text = SMALL
        .replace(
            "      MemorySize: 512\n",
            "      MemorySize: 512\n      LoggingConfig: {LogGroup: !Ref Logs}\n",
        )
        .replace(
            "MaxAge: 60}}",
            "MaxAge: 60}, DefaultRouteSettings: {ThrottlingRateLimit: 7, ThrottlingBurstLimit: 9}}",
        );
    let logs = r#"  Logs: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: !Sub "/${AWS::StackName}/worker", RetentionInDays: 30}}"#;
    let template = parse(&format!("{text}{logs}")).unwrap();
    assert_eq!(template.functions[0].log_group, "/local/worker");
    assert_eq!(template.throttle, Some(Throttle { rate: 7.0, burst: 9 }));
    assert_eq!(parse(SMALL).unwrap().functions[0].log_group, "/aws/lambda/Worker");
}

#[test]
fn events_may_be_switched_off() {
    let text = SMALL
        .replace("BatchSize: 4", "Enabled: false")
        .replace("rate(5 minutes)", "rate(5 minutes), Enabled: false");
    let function = parse(&text).unwrap().functions.remove(0);
    assert!(function.queues.is_empty() && function.schedules.is_empty());
}

fn check_parameter(declared: &str, value: &str, expected: Result<(), &str>) {
    let text = format!("{{Parameters: {{P: {{{declared}}}}}, Resources: {{}}}}");
    let given = BTreeMap::from([("P".to_owned(), value.to_owned())]);
    let error = Template::parse(&text, &given).err().map(|error| format!("{error:#}"));
    match expected {
        Ok(()) => assert_eq!(error, None, "{declared} {value}"),
        Err(part) => assert!(error.is_some_and(|text| text.contains(part)), "{declared} {value}"),
    }
}

#[test]
fn parameters_keep_their_bounds() {
    check_parameter("Type: String, MinLength: 3", "abc", Ok(()));
    check_parameter("Type: String, MinLength: 3", "ab", Err("its length"));
    check_parameter("Type: String, MaxLength: 3", "abcd", Err("its length"));
    check_parameter("Type: String, AllowedValues: [a, b]", "b", Ok(()));
    check_parameter("Type: String, AllowedValues: [a, b]", "c", Err("none of a, b"));
    check_parameter("Type: Number, MinValue: 1, MaxValue: 5", "5", Ok(()));
    check_parameter("Type: Number, MinValue: 1, MaxValue: 5", "6", Err("out of its bounds"));
    check_parameter("Type: Number", "many", Err("no number"));
    check_parameter("Type: 'AWS::SSM::Parameter::Value<String>'", "a", Err("Type"));
    check_parameter("Type: String, Secret: true", "a", Err("Secret"));
}
