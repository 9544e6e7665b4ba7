# The role that `atrest scan --org` assumes in an account. It reads and changes nothing: atrest-scan.json is what
# `atrest iam-policy scan` prints, and a test of the project keeps the two the same.

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = var.caller_arns
    }

    dynamic "condition" {
      for_each = var.external_id == null ? [] : [var.external_id]
      content {
        test     = "StringEquals"
        variable = "sts:ExternalId"
        values   = [condition.value]
      }
    }
  }
}

resource "aws_iam_role" "scan" {
  name                 = var.role_name
  path                 = var.path
  description          = "Nightly encryption audit of RDS: reads only"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary
  max_session_duration = 3600
  tags                 = var.tags
}

resource "aws_iam_role_policy" "scan" {
  name   = "atrest-scan"
  role   = aws_iam_role.scan.id
  policy = file("${path.module}/atrest-scan.json")
}
