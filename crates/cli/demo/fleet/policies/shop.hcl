# What the shop's pods may read.
path "secret/data/shop/*" {
  capabilities = ["read"]
}

path "pki/issue/shop" {
  capabilities = ["create", "update"]
}
