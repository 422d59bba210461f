package build

import (
	"slices"
	"testing"

	"devstack/engine/image"
)

func TestScratchCopyCmd(t *testing.T) {
	s := newShop(t)
	r := s.request(map[string]string{
		"Dockerfile":    "FROM scratch\nCOPY hello /bin/\nENV A=1\nCMD [\"/bin/hello\"]\n",
		"hello":         "program",
		".dockerignore": "Dockerfile\n",
	})
	r.Tags = []string{"shop/hello:1"}
	o := s.build(r)
	if got := o.file("/bin/hello"); got != "program" {
		t.Errorf("file is %q", got)
	}
	if !slices.Equal(o.img.Config.Cmd, []string{"/bin/hello"}) || o.img.Ref != "docker.io/shop/hello:1" {
		t.Errorf("%+v", o.img)
	}
	if again := s.build(r); again.img.Digest != o.img.Digest || len(again.did(Cached)) != 1 || len(again.did(Started)) != 0 {
		t.Errorf("the second time: %s %+v", again.img.Digest, again.events)
	}
}

func TestRunLeavesOnlyWhatItWrote(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	o := s.dockerfile("FROM ${BASE}\nRUN echo built > /made && cat /etc/resolv.conf /etc/hosts && id\n")
	if got := o.file("/made"); got != "built\n" {
		t.Errorf("file is %q", got)
	}
	if got := o.layerFiles(1); !slices.Equal(got, []string{"made"}) {
		t.Errorf("the layer has %q", got)
	}
	t.Log(o.log)
}
