package image

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// HostPlatform is what containers of this machine run: always linux.
func HostPlatform() ocispec.Platform {
	return normalize(ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH})
}

// ParsePlatform reads "os/arch[/variant]", or "arch"; "" is the host's.
func ParsePlatform(s string) (ocispec.Platform, error) {
	if s == "" {
		return HostPlatform(), nil
	}
	parts := strings.Split(strings.ToLower(s), "/")
	var p ocispec.Platform
	switch {
	case slices.Contains(parts, "") || len(parts) > 3:
		return p, fmt.Errorf("platform %q is not of the form os/architecture[/variant], such as linux/arm64", s)
	case len(parts) == 1:
		p = ocispec.Platform{OS: "linux", Architecture: parts[0]}
	default:
		p = ocispec.Platform{OS: parts[0], Architecture: parts[1]}
		if len(parts) == 3 {
			p.Variant = parts[2]
		}
	}
	return normalize(p), nil
}

// FormatPlatform is the reverse of ParsePlatform.
func FormatPlatform(p ocispec.Platform) string {
	if p.OS == "" && p.Architecture == "" {
		return ""
	}
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// normalize maps the names that uname and others use, and drops variants
// that say nothing: every arm64 is v8.
func normalize(p ocispec.Platform) ocispec.Platform {
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "i386", "i686":
		p.Architecture = "386"
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	switch {
	case p.Architecture == "arm64" && (p.Variant == "8" || p.Variant == "v8"):
		p.Variant = ""
	case p.Architecture == "arm" && p.Variant == "":
		p.Variant = "v7"
	case p.Architecture == "amd64" && p.Variant == "v1":
		p.Variant = ""
	case p.Architecture == "arm" && len(p.Variant) == 1:
		p.Variant = "v" + p.Variant
	}
	return p
}

// ChoosePlatform picks the manifest of an index that runs best on want: the
// same variant, else the highest lower one. Attestations are no images.
func ChoosePlatform(manifests []ocispec.Descriptor, want ocispec.Platform) (ocispec.Descriptor, error) {
	want = normalize(want)
	var best *ocispec.Descriptor
	var bestVariant string
	var have []string
	for i, m := range manifests {
		if m.Annotations["vnd.docker.reference.type"] != "" || m.Platform == nil {
			continue
		}
		p := normalize(*m.Platform)
		have = append(have, FormatPlatform(p))
		if p.OS != want.OS || p.Architecture != want.Architecture || !runsOn(p.Variant, want.Variant) {
			continue
		}
		if best == nil || p.Variant > bestVariant {
			best, bestVariant = &manifests[i], p.Variant
		}
	}
	if best != nil {
		return *best, nil
	}
	if only, ok := onlyUnlabelled(manifests); ok {
		return only, nil
	}
	return ocispec.Descriptor{}, fmt.Errorf("image has no manifest for %s (it has: %s)", FormatPlatform(want), strings.Join(have, ", "))
}

// runsOn says whether code for variant have runs on a machine of variant
// want: variants are v5 < v6 < v7 for arm and v2 < v3 < v4 for amd64.
func runsOn(have, want string) bool { return have == "" || have <= want }

// onlyUnlabelled is the one manifest of an index that says nothing of
// platforms, as many tools write layouts.
func onlyUnlabelled(manifests []ocispec.Descriptor) (ocispec.Descriptor, bool) {
	if len(manifests) == 1 && (manifests[0].Platform == nil || manifests[0].Platform.Architecture == "") {
		return manifests[0], true
	}
	return ocispec.Descriptor{}, false
}
