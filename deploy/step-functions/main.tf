# Migrations of atrest as executions of AWS Step Functions: the same as template.yaml. See docs/step-functions.md.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "max_concurrency" {
  description = "Migrations of a wave at the same time"
  type        = number
  default     = 5
}

variable "heartbeat_seconds" {
  description = "A worker that has been silent for so long is taken for dead; it beats every 20 s"
  type        = number
  default     = 120
}

variable "tick_seconds" {
  description = "Longest time of one tick; the comparison of all rows of an instance is one"
  type        = number
  default     = 86400
}

variable "repeat_seconds" {
  description = "Wait before a tick that failed is repeated"
  type        = number
  default     = 60
}

variable "approval_seconds" {
  description = "How long leave for the cutover is waited for"
  type        = number
  default     = 604800
}

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.name
}

resource "aws_sqs_queue" "ticks" {
  name                      = "atrest-ticks.fifo"
  fifo_queue                = true
  message_retention_seconds = 86400
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "approvals" {
  name                      = "atrest-approvals.fifo"
  fifo_queue                = true
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

data "aws_iam_policy_document" "states" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["states.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "migration" {
  name_prefix        = "atrest-migration-"
  assume_role_policy = data.aws_iam_policy_document.states.json
}

data "aws_iam_policy_document" "queues" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.ticks.arn, aws_sqs_queue.approvals.arn]
  }
}

resource "aws_iam_role_policy" "queues" {
  role   = aws_iam_role.migration.id
  policy = data.aws_iam_policy_document.queues.json
}

resource "aws_sfn_state_machine" "migration" {
  name     = "atrest-migration"
  role_arn = aws_iam_role.migration.arn
  definition = templatefile("${path.module}/migration.asl.json", {
    QueueUrl         = aws_sqs_queue.ticks.url
    ApprovalQueueUrl = aws_sqs_queue.approvals.url
    HeartbeatSeconds = var.heartbeat_seconds
    TickSeconds      = var.tick_seconds
    RepeatSeconds    = var.repeat_seconds
    ApprovalSeconds  = var.approval_seconds
  })
}

resource "aws_iam_role" "fleet" {
  name_prefix        = "atrest-fleet-"
  assume_role_policy = data.aws_iam_policy_document.states.json
}

data "aws_iam_policy_document" "executions" {
  statement {
    actions   = ["states:StartExecution"]
    resources = [aws_sfn_state_machine.migration.arn]
  }
  statement {
    actions   = ["states:DescribeExecution", "states:StopExecution"]
    resources = ["arn:${local.partition}:states:${local.region}:${local.account}:execution:${aws_sfn_state_machine.migration.name}:*"]
  }
  # How Step Functions waits for the end of an execution.
  statement {
    actions   = ["events:PutTargets", "events:PutRule", "events:DescribeRule"]
    resources = ["arn:${local.partition}:events:${local.region}:${local.account}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"]
  }
}

resource "aws_iam_role_policy" "executions" {
  role   = aws_iam_role.fleet.id
  policy = data.aws_iam_policy_document.executions.json
}

resource "aws_sfn_state_machine" "fleet" {
  name     = "atrest-fleet"
  role_arn = aws_iam_role.fleet.arn
  definition = templatefile("${path.module}/fleet.asl.json", {
    MigrationStateMachineArn = aws_sfn_state_machine.migration.arn
    MaxConcurrency           = var.max_concurrency
  })
}

data "aws_iam_policy_document" "worker" {
  statement {
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
    resources = [aws_sqs_queue.ticks.arn]
  }
  # The token says which task; these actions know no resource of an execution.
  statement {
    actions   = ["states:SendTaskSuccess", "states:SendTaskFailure", "states:SendTaskHeartbeat"]
    resources = ["*"]
  }
}

# Beside what `atrest iam-policy fix` prints.
resource "aws_iam_policy" "worker" {
  name_prefix = "atrest-worker-"
  policy      = data.aws_iam_policy_document.worker.json
}

data "aws_iam_policy_document" "approver" {
  statement {
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
    resources = [aws_sqs_queue.approvals.arn]
  }
  statement {
    actions   = ["states:SendTaskSuccess", "states:SendTaskFailure"]
    resources = ["*"]
  }
}

resource "aws_iam_policy" "approver" {
  name_prefix = "atrest-approver-"
  policy      = data.aws_iam_policy_document.approver.json
}

# A migration that has stopped may have its clients away.
resource "aws_cloudwatch_metric_alarm" "stopped" {
  alarm_name          = "atrest-migration-stopped"
  namespace           = "AWS/States"
  metric_name         = "ExecutionsFailed"
  dimensions          = { StateMachineArn = aws_sfn_state_machine.migration.arn }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
}

output "tick_queue" { value = aws_sqs_queue.ticks.url }
output "approval_queue" { value = aws_sqs_queue.approvals.url }
output "fleet_state_machine" { value = aws_sfn_state_machine.fleet.arn }
