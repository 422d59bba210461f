// Package routes reads registries.conf(5), version 2: through which mirrors a
// repository is pulled, where it really lies, which registries may be spoken
// to without verified TLS, which not at all, and what short names mean.
//
// It asks nobody and keeps nothing; package registry does the requests.
package routes
