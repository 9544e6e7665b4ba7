output "role_arn" {
  description = "ARN of the role"
  value       = aws_iam_role.scan.arn
}

output "role_name" {
  description = "What `atrest scan --role-name` takes: the name with its path"
  value       = trimprefix("${var.path}${aws_iam_role.scan.name}", "/")
}
