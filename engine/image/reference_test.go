package image

import (
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParseReference(t *testing.T) {
	named := func(domain, path, tag string, d digest.Digest) Reference {
		return Reference{Transport: Docker, Domain: domain, Path: path, Tag: tag, Digest: d}
	}
	for s, want := range map[string]Reference{
		"nginx":                       named("docker.io", "library/nginx", "latest", ""),
		"docker://nginx:1":            named("docker.io", "library/nginx", "1", ""),
		"org/app":                     named("docker.io", "org/app", "latest", ""),
		"localhost/app":               named("localhost", "app", "latest", ""),
		"localhost:5000/a/b:c":        named("localhost:5000", "a/b", "c", ""),
		"ghcr.io/o/a@" + sum:          named("ghcr.io", "o/a", "", sum),
		"ghcr.io/o/a:1@" + sum:        named("ghcr.io", "o/a", "1", sum),
		"[::1]:5000/a":                named("[::1]:5000", "a", "latest", ""),
		"index.docker.io/nginx":       named("docker.io", "library/nginx", "latest", ""),
		"oci":                         named("docker.io", "library/oci", "latest", ""),
		"rootfs":                      named("docker.io", "library/rootfs", "latest", ""),
		"oci:/var/img":                {Transport: OCI, File: "/var/img"},
		"oci:/var/img:v1":             {Transport: OCI, File: "/var/img", Inner: "v1"},
		"oci-archive:/a.tar:x/y:1":    {Transport: OCIArchive, File: "/a.tar", Inner: "x/y:1"},
		"docker-archive:/a.tar":       {Transport: DockerArchive, File: "/a.tar"},
		"docker-archive:/a.tar:web:1": {Transport: DockerArchive, File: "/a.tar", Inner: "web:1"},
		"rootfs:/":                    {Transport: RootFS, File: "/"},
		"rootfs:/srv/with:colon":      {Transport: RootFS, File: "/srv/with:colon"},
	} {
		got, err := ParseReference(s)
		if err != nil || got != want {
			t.Errorf("%s: %v %s", s, err, cmp.Diff(want, got))
		}
		if again, err := ParseReference(got.String()); err != nil || again != got {
			t.Errorf("%s: canonical form %s is read as %+v, %v", s, got, again, err)
		}
	}
}

func TestParseReferenceRefuses(t *testing.T) {
	for s, want := range map[string]string{
		"":                      "empty",
		"Nginx":                 "lower case",
		"nginx:":                "tag",
		"nginx:a b":             "tag",
		"a@sha256:12":           "digest",
		"-a":                    "not valid",
		"a//b":                  "not valid",
		"-h.example/a":          "host name",
		strings.Repeat("a", 64): "image ID",
		"oci:":                  "no path",
		"rootfs:":               "no directory",
	} {
		if _, err := ParseReference(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
}

func TestFamiliarString(t *testing.T) {
	for s, want := range map[string]string{
		"docker.io/library/nginx:latest": "nginx:latest", "docker.io/org/app:1": "org/app:1", "nginx": "nginx:latest",
		"ghcr.io/o/a:1": "ghcr.io/o/a:1", "not a reference": "not a reference", "oci:/d:x": "oci:/d:x",
	} {
		if got := FamiliarString(s); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
}

// FuzzParseReference holds the parser to Docker's own.
func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"nginx", "a/b:c", "localhost:5000/a@" + sum, "a__b/c--d", "[::1]/a", "A.b/c", "a.b:80", "a_._b", "index.docker.io/a/b:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ours, err := parseNamed(s)
		theirs, oracle := reference.ParseDockerRef(s)
		if oracle == nil {
			_, oracle = reference.ParseNormalizedNamed(s)
		}
		if (err == nil) != (oracle == nil) {
			t.Fatalf("%q: ours %v, theirs %v", s, err, oracle)
		}
		if err != nil {
			return
		}
		if ours.Repository() != theirs.Name() {
			t.Fatalf("%q: ours %s, theirs %s", s, ours.Repository(), theirs.Name())
		}
		if again, err := parseNamed(ours.String()); err != nil || again != ours {
			t.Fatalf("%q: %s is read as %+v, %v", s, ours, again, err)
		}
	})
}

func TestChoosePlatform(t *testing.T) {
	at := func(p string) ocispec.Descriptor {
		v, err := ParsePlatform(p)
		if err != nil {
			t.Fatal(err)
		}
		return ocispec.Descriptor{Platform: &v, Digest: digest.FromString(p)}
	}
	attestation := ocispec.Descriptor{
		Platform:    &ocispec.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
	}
	index := []ocispec.Descriptor{attestation, at("linux/arm/v5"), at("linux/arm/v7"), at("linux/arm64"), at("linux/amd64"), at("windows/amd64")}
	for want, expect := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/x86_64": "linux/amd64", "linux/arm64/v8": "linux/arm64",
		"linux/arm": "linux/arm/v7", "linux/arm/v6": "linux/arm/v5", "linux/arm/v8": "linux/arm/v7", "linux/amd64/v3": "linux/amd64",
	} {
		p, err := ParsePlatform(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ChoosePlatform(index, p)
		if err != nil || got.Digest != at(expect).Digest {
			t.Errorf("%s: %v, %v", want, got.Platform, err)
		}
	}
	p, _ := ParsePlatform("linux/riscv64")
	if _, err := ChoosePlatform(index, p); err == nil || !strings.Contains(err.Error(), "linux/arm/v7") {
		t.Errorf("error does not list what there is: %v", err)
	}
	if _, err := ChoosePlatform([]ocispec.Descriptor{{Digest: sum}}, p); err != nil {
		t.Errorf("the only manifest, unlabelled: %v", err)
	}
	for _, bad := range []string{"/", "linux//v7", "a/b/c/d"} {
		if _, err := ParsePlatform(bad); err == nil {
			t.Errorf("%q is taken for a platform", bad)
		}
	}
}

func TestHealthcheckOfConfig(t *testing.T) {
	f, err := ParseFile([]byte(`{"architecture":"amd64","os":"linux","config":{"Healthcheck":{"Test":["CMD","x"],"Interval":1000000000,"Retries":3},"Cmd":["a"]},"rootfs":{"type":"layers","diff_ids":["` + sum + `"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	h := f.Config.Healthcheck.Compose()
	if h == nil || h.Test[1] != "x" || h.Interval == nil || *h.Retries != 3 || h.Timeout != nil {
		t.Errorf("%+v", h)
	}
	if _, err := ParseFile([]byte(`{"rootfs":{"diff_ids":["../../x"]}}`)); err == nil {
		t.Error("a path is taken for a diff-id")
	}
}
