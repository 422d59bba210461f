// Package registry speaks to image registries: pulls that go on where a
// connection broke off, pushes that send only what is not there, mirrors and
// rules of registries.conf (package routes), credentials of Docker and Podman
// (package credentials), certificates of certs.d.
//
//	Client ─ Repository ─┬─ endpoint mirror.example/hub/app ─┐
//	  (one request's     └─ endpoint docker.io/library/app ──┴─ host: scheme,
//	   environment)                                             tokens, TLS
//
// The token handshake is our own: one token a scope, renewed in the middle of
// a transfer, never sent to another host or in clear. It keeps nothing on disk
// and verifies manifests only: blobs are verified by who reads them.
package registry
