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
    assert_eq!(template.function("worker").unwrap().policy[0].leading_keys, ["PROBE"]);
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
