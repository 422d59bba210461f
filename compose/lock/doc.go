// Package lock reads, writes and compares devstack.lock: which digest every
// image that a project names stood for when it was locked.
//
//	version: 1
//	images:
//	  docker.io/library/nginx:1.27:
//	    digest: sha256:...            # of the index, or of the only manifest
//	    platforms:
//	      linux/amd64: sha256:...     # of the manifest
//
// Engines pin references with the digests, see engine/api.Lock.
//
// It is pure: it asks no registry and knows no grammar of references. Callers
// say through [Canon] how a reference is spelled in full, resolve what
// [Plan] asks for, and hand in the images of Dockerfiles as further [Use]s.
package lock
