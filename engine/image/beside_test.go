package image

import "testing"

func TestBeside(t *testing.T) {
	for ref, want := range map[string]string{
		"oci:./img":             "oci:/p/img",
		"oci-archive:a.tar:tag": "oci-archive:/p/a.tar:tag",
		"docker-archive:../a":   "docker-archive:/a",
		"rootfs:/":              "rootfs:/",
		"oci:/abs":              "oci:/abs",
		"redis:7":               "redis:7",
		"rootfs:":               "rootfs:",
		"localhost:5000/oci:1":  "localhost:5000/oci:1",
	} {
		if got := Beside(ref, "/p"); got != want {
			t.Errorf("Beside(%q) = %q, want %q", ref, got, want)
		}
	}
}
