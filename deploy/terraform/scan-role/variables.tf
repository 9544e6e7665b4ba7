variable "caller_arns" {
  description = "ARNs of the identities that scan: the role of the nightly job"
  type        = list(string)

  validation {
    condition     = length(var.caller_arns) > 0 && alltrue([for arn in var.caller_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+$", arn))])
    error_message = "Name roles or users by their ARNs; a whole account or * would let anybody in it scan."
  }
}

variable "external_id" {
  description = "External id that the caller has to give, where the accounts belong to different companies"
  type        = string
  default     = null
}

variable "role_name" {
  description = "Name of the role, as atrest scan --role-name has it"
  type        = string
  default     = "atrest-scan"
}

variable "path" {
  description = "Path of the role; --role-name takes it with the path"
  type        = string
  default     = "/"
}

variable "permissions_boundary" {
  description = "ARN of a permissions boundary"
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the role"
  type        = map(string)
  default     = {}
}
