// Package registry speaks to image registries: authentication with the
// credentials of Docker and Podman, manifests, and blobs that survive dropped
// connections. go-containerregistry does the handshake; the requests are our
// own, because a layer must go on where its stream broke off.
//
// It keeps nothing on disk and verifies manifests only: blobs are verified by
// who reads them.
package registry
