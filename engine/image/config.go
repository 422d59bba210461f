package image

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/compose"
)

// Config is how an image wants to be run: OCI's execution parameters with
// Docker's additions.
type Config struct {
	ocispec.ImageConfig
	Healthcheck *Healthcheck `json:"Healthcheck,omitempty"`
	OnBuild     []string     `json:"OnBuild,omitempty"`
	Shell       []string     `json:"Shell,omitempty"`
	StopTimeout *int         `json:"StopTimeout,omitempty"` // seconds
}

// Healthcheck is Docker's extension of the configuration. Test is in exec
// form: ["NONE"], ["CMD", args...], ["CMD-SHELL", line]; empty inherits. Zero
// durations and counts mean the default.
type Healthcheck struct {
	Test          []string      `json:"Test,omitempty"`
	Interval      time.Duration `json:"Interval,omitempty"`
	Timeout       time.Duration `json:"Timeout,omitempty"`
	StartPeriod   time.Duration `json:"StartPeriod,omitempty"`
	StartInterval time.Duration `json:"StartInterval,omitempty"`
	Retries       int           `json:"Retries,omitempty"`
}

// Compose is the check in the words of a project file; nil for nil.
func (h *Healthcheck) Compose() *compose.Healthcheck {
	if h == nil {
		return nil
	}
	c := &compose.Healthcheck{Test: h.Test}
	set := func(to **compose.Duration, d time.Duration) {
		if d > 0 {
			v := compose.Duration(d)
			*to = &v
		}
	}
	set(&c.Interval, h.Interval)
	set(&c.Timeout, h.Timeout)
	set(&c.StartPeriod, h.StartPeriod)
	set(&c.StartInterval, h.StartInterval)
	if h.Retries > 0 {
		n := uint64(h.Retries)
		c.Retries = &n
	}
	return c
}

// File is an image's configuration blob.
type File struct {
	Created *time.Time `json:"created,omitempty"`
	Author  string     `json:"author,omitempty"`
	ocispec.Platform
	Config  Config            `json:"config"`
	RootFS  ocispec.RootFS    `json:"rootfs"`
	History []ocispec.History `json:"history,omitempty"`
}

// ParseFile reads a configuration blob.
func ParseFile(b []byte) (File, error) {
	var f File
	if err := json.Unmarshal(b, &f); err != nil {
		return File{}, fmt.Errorf("parse image configuration: %w", err)
	}
	for _, d := range f.RootFS.DiffIDs {
		if err := d.Validate(); err != nil {
			return File{}, fmt.Errorf("parse image configuration: diff_id %q: %w", d, err)
		}
	}
	return f, nil
}

// FromRoot is the image that a rootfs: reference stands for.
func FromRoot(ref Reference) Image {
	id := digest.FromString(ref.String())
	return Image{
		Ref: ref.String(), ID: id, Digest: id, Manifest: id, Root: ref.File,
		Platform: FormatPlatform(HostPlatform()),
		Config: Config{ImageConfig: ocispec.ImageConfig{
			Cmd: []string{"/bin/sh"},
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		}},
	}
}
