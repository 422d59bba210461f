package volumes

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// DriverLocal is the one driver: a directory, or what mount(2) makes of
// driver_opts.
const DriverLocal = "local"

// Spec is a volume as it is declared.
type Spec struct {
	Name       string            // required; see AnonymousName
	Driver     string            // "" is local
	DriverOpts map[string]string // local: type, o, device
	Labels     map[string]string
	Project    string
	Anonymous  bool
}

// Volume is a volume that exists.
type Volume struct {
	Version    int               `json:"version"`
	Name       string            `json:"name"`
	Driver     string            `json:"driver"`
	DriverOpts map[string]string `json:"driver_opts,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Project    string            `json:"project,omitempty"`
	Anonymous  bool              `json:"anonymous,omitempty"`
	Created    time.Time         `json:"created"`

	// Path is the absolute directory of a volume without driver_opts.
	Path string `json:"-"`
}

// Mount is what the runtime shall mount to give a container a volume; the
// fields are those of an OCI mount.
type Mount struct {
	Type    string // bind, tmpfs, nfs, ...
	Source  string
	Options []string
}

// AnonymousName is a new name for an anonymous volume: 64 hex digits.
func AnonymousName() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// CheckName reports ErrBadName unless name can be a volume's.
func CheckName(name string) error {
	if len(name) > 255 || !namePattern.MatchString(name) {
		return fmt.Errorf("volume %q: %w", name, ErrBadName)
	}
	return nil
}

// Differs says in words how v differs from what spec declares, "" when it
// does not. Labels are not compared: they do not change what is mounted.
func (v Volume) Differs(spec Spec) string {
	driver := spec.Driver
	if driver == "" {
		driver = DriverLocal
	}
	switch {
	case v.Driver != driver:
		return fmt.Sprintf("driver is %q, declared %q", v.Driver, driver)
	case !maps.Equal(v.DriverOpts, spec.DriverOpts):
		return fmt.Sprintf("driver_opts are %v, declared %v", v.DriverOpts, spec.DriverOpts)
	}
	return ""
}

// Mount says how a container gets the volume. A volume with driver_opts is
// mounted anew in each container that uses it: for bind, nfs and cifs they
// share the data all the same; a tmpfs volume is each container's own.
// The kernel knows no host names, so an addr option is resolved here.
func (v Volume) Mount(ctx context.Context) (Mount, error) {
	m := v.mount()
	for i, o := range m.Options {
		host, ok := strings.CutPrefix(o, "addr=")
		if _, err := netip.ParseAddr(host); !ok || err == nil {
			continue
		}
		addrs, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			return Mount{}, fmt.Errorf("mount volume %q: %w", v.Name, err)
		}
		m.Options[i] = "addr=" + addrs[0]
	}
	return m, nil
}

func (v Volume) mount() Mount {
	if len(v.DriverOpts) == 0 {
		return Mount{Type: "bind", Source: v.Path, Options: []string{"rbind"}}
	}
	m := Mount{Type: v.DriverOpts["type"], Source: v.DriverOpts["device"]}
	if o := v.DriverOpts["o"]; o != "" {
		m.Options = strings.Split(o, ",")
	}
	if dir := v.device(); dir != "" {
		m.Type, m.Source = "bind", dir
	}
	if m.Source == "" {
		m.Source = m.Type
	}
	return m
}

// device is the host directory that a volume of "o: bind" stands for.
func (v Volume) device() string {
	for o := range strings.SplitSeq(v.DriverOpts["o"], ",") {
		if o == "bind" || o == "rbind" {
			return v.DriverOpts["device"]
		}
	}
	return ""
}

func (s Spec) check() error {
	if err := CheckName(s.Name); err != nil {
		return err
	}
	if s.Driver != "" && s.Driver != DriverLocal {
		return fmt.Errorf("volume %q: driver %q: %w", s.Name, s.Driver, ErrBadDriver)
	}
	for key := range s.DriverOpts {
		switch key {
		case "type", "o", "device":
		default:
			return fmt.Errorf("volume %q: unknown option %q of driver local: it has type, o, device", s.Name, key)
		}
	}
	if len(s.DriverOpts) == 0 {
		return nil
	}
	v := Volume{DriverOpts: s.DriverOpts}
	if dir := v.device(); dir != "" && !filepath.IsAbs(dir) {
		return fmt.Errorf("volume %q: device %q must be an absolute path", s.Name, dir)
	}
	if m := v.mount(); m.Type == "" {
		return fmt.Errorf("volume %q: driver_opts need a type (or o: bind and a device)", s.Name)
	}
	return nil
}
