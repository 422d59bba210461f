package image

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Image is an image that is at hand: its layers are unpacked, or it is a
// directory of the host.
type Image struct {
	// Ref is the canonical reference it was asked for by.
	Ref string `json:"ref"`
	// ID identifies the content: the digest of the configuration.
	ID digest.Digest `json:"id"`
	// Digest is what the reference stands for where it came from: the
	// digest of the index of several platforms, or of the manifest. It is
	// what a lock or a digest reference names.
	Digest digest.Digest `json:"digest"`
	// Manifest is the digest of the manifest for Platform.
	Manifest digest.Digest `json:"manifest"`
	Config   Config        `json:"config"`
	// Layers are in the order of the image: the lowest first.
	Layers []Layer `json:"layers,omitempty"`
	// Root is the directory of a rootfs: image, "" for all others.
	Root     string    `json:"root,omitempty"`
	Size     int64     `json:"size"` // bytes of the compressed layers
	Created  time.Time `json:"created"`
	Platform string    `json:"platform"`
}

// Layer is one layer of an image.
type Layer struct {
	Digest    digest.Digest `json:"digest"`  // of the blob, mostly compressed
	DiffID    digest.Digest `json:"diff_id"` // of the tar stream
	MediaType string        `json:"media_type"`
	Size      int64         `json:"size"` // of the blob
	// Dir is the absolute path of the unpacked tree, in overlayfs' form.
	Dir string `json:"dir"`
}
