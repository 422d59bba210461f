package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

// The most used policies; see parsePolicy for all.
const (
	Always  = "always"
	Missing = "missing" // the default
	Never   = "never"
)

// Progress tells how far a layer, or the image as a whole, has come.
type Progress = store.Progress

// Options of Ensure; the zero value is ready.
type Options struct {
	Policy   string // as in pull_policy; "" is Missing
	Platform string // "os/arch[/variant]"; "" is the host's
	// Progress may be nil. It is called by one goroutine at a time and must
	// not block.
	Progress func(Progress)
	// Registry is shared by calls that want to share connections; nil makes
	// one for the call.
	Registry *registry.Client
	// Limits of layers; the environment of Registry sets what is zero here
	// (LimitVariable).
	Limits layer.Limits
}

// Ensure gives the image ref with every layer unpacked, fetching what is
// missing. Concurrent calls for one image share the work. Errors are
// *image.Error with a hint where there is something to do.
func Ensure(ctx context.Context, s *store.Store, ref string, o Options) (image.Image, error) {
	r, err := image.ParseReference(ref)
	if err != nil {
		return image.Image{}, err
	}
	if r.Transport == image.RootFS {
		return openRoot(r)
	}
	platform, err := image.ParsePlatform(o.Platform)
	if err != nil {
		return image.Image{}, err
	}
	when, err := parsePolicy(o.Policy)
	if err != nil {
		return image.Image{}, err
	}
	if err := o.bound(s); err != nil {
		return image.Image{}, err
	}
	j := job{store: s, ref: r, short: image.Short(ref), o: o, when: when, platform: platform}
	if img, ok, err := j.atHand(); ok || err != nil {
		return img, err
	}
	key := o.Policy + " " + image.FormatPlatform(platform) + " " + r.String()
	return s.Images.Do(ctx, key, o.Progress, j.run)
}

// openRoot checks the directory of a rootfs: reference.
func openRoot(r image.Reference) (image.Image, error) {
	fail := func(err error, hint string) (image.Image, error) {
		return image.Image{}, &image.Error{Ref: r.String(), Op: "open", Err: err, Hint: hint}
	}
	if !filepath.IsAbs(r.File) {
		return fail(fmt.Errorf("directory %s is not an absolute path", r.File), "")
	}
	fi, err := os.Stat(r.File)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fail(fmt.Errorf("directory %s does not exist", r.File), "make it (for example with mmdebstrap), or use rootfs:/ for this machine's own")
	case err != nil:
		return fail(err, "")
	case !fi.IsDir():
		return fail(fmt.Errorf("%s is not a directory", r.File), "")
	}
	r.File = filepath.Clean(r.File)
	return image.FromRoot(r), nil
}

// atHand answers from the store alone where the policy allows it.
func (j *job) atHand() (img image.Image, ok bool, err error) {
	e, err := j.store.Find(j.ref.String(), j.o.Platform)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if _, ok := j.twin(); ok {
			return image.Image{}, false, nil
		}
		return j.neverFound(err)
	case err != nil:
		return image.Image{}, false, err
	}
	if j.stale(e) {
		return image.Image{}, false, nil
	}
	img, err = j.store.Load(e)
	if errors.Is(err, store.ErrNotFound) {
		if j.when.never && j.unpackable(e) {
			return image.Image{}, false, nil
		}
		return j.neverFound(err)
	}
	return img, err == nil, err
}

// stale says whether the source must be asked although the store has e: by
// policy, or because the file it came from has changed.
func (j *job) stale(e store.Entry) bool {
	if j.when.never || j.ref.Digest != "" && !j.when.always() {
		return false // a digest stands for the same for ever
	}
	if !j.when.fresh(e.Added, time.Now()) {
		return true
	}
	now, err := stampOf(j.ref)
	return err == nil && now != e.Stamp
}

// twin is an entry with the digest that is asked for, under another name. The
// same content need not be fetched again.
func (j *job) twin() (store.Entry, bool) {
	if j.ref.Digest == "" || j.when.always() {
		return store.Entry{}, false
	}
	e, err := j.store.FindDigest(j.ref.Digest, j.o.Platform)
	if err != nil || !j.unpackable(e) {
		return store.Entry{}, false
	}
	e.Ref, e.Source, e.Stamp, e.Added = j.ref.String(), j.ref.Digest, "", time.Time{}
	return e, true
}

func (j *job) neverFound(err error) (image.Image, bool, error) {
	if !j.when.never {
		return image.Image{}, false, nil
	}
	return image.Image{}, false, &image.Error{
		Ref: j.ref.Familiar(), Op: "find", Err: err,
		Hint: "pull it with `devstack pull`, or set pull_policy: missing",
	}
}
