# May read its own secrets and nothing else.
path "secret/data/intruder/*" {
  capabilities = ["read"]
}
