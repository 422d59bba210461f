// Package store keeps images on disk:
//
//	DATA/images/            an OCI image layout
//	    index.json          names -> manifests
//	    blobs/sha256/HEX    manifests, configurations, layers as transferred
//	    ingest/             what is being written
//	    lock, index.lock
//	DATA/layers/sha256/HEX/fs   unpacked layers, HEX of the diff-id
//	DATA/layers/ingest/     what is being unpacked
//	DATA/layers/unsynced/   layers the disk may not hold yet
//
// Whatever has its final name is complete and was verified: things are
// written under ingest and renamed. A blob is verified again when it is read.
//
// Unpacked layers are not synced file by file. A layer is committed with a
// mark that carries the kernel's boot id and loses it after a syncfs in the
// background; marks of another boot mean that the machine went down before
// that, and the layer is thrown away and unpacked again.
//
// Two processes may use one store: writers of blobs and layers hold the lock
// shared, collectors of garbage alone, and index.json changes under
// index.lock.
package store
