package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"devstack/engine/api"
	"devstack/engine/api/server"
	"devstack/engine/image"
	"devstack/engine/image/fetch"
	"devstack/engine/image/manage"
	"devstack/engine/image/snapshot"
	"devstack/engine/image/store"
)

// inUse is what must stay of the store although no name reaches it. Nobody
// waits for a long build because of garbage: that goes later.
func (e *Engine) inUse() (manage.InUse, error) {
	use := manage.InUse{Containers: e.imageUsers, Later: e.garbage.later}
	if _, err := os.Stat(filepath.Join(e.cfg.Roots.Data, "builds")); err != nil {
		return use, nil // nothing was ever built
	}
	b, err := e.builder()
	if err != nil {
		return use, err
	}
	use.Builds = b
	return use, nil
}

func (e *Engine) imageUsers() ([]manage.Container, error) {
	var out []manage.Container
	for _, p := range e.all() {
		for _, u := range p.Units() {
			rec := u.Record()
			out = append(out, manage.Container{
				ID: rec.ID, Name: rec.Name, Project: rec.Project, Image: rec.Image,
				Running: rec.State == api.StateRunning || rec.State == api.StatePaused || rec.State == api.StateRestarting,
				Upper:   snapshot.Upper(e.cfg.Roots.Data, rec.ID),
			})
			for _, img := range rec.MountImages {
				out = append(out, manage.Container{
					ID: rec.ID, Name: rec.Name, Project: rec.Project, Image: img, Running: true,
				})
			}
		}
	}
	return out, nil
}

// Images lists the images that containers use, or with All those of the
// store.
func (e *Engine) Images(ctx context.Context, req api.ImagesRequest, _ func(api.Message)) ([]api.Image, error) {
	out := []api.Image{}
	users, _ := e.imageUsers()
	if !req.All {
		for _, p := range e.all() {
			for _, u := range p.Units() {
				if req.Name != "" && p.Name != req.Name || len(req.Services) > 0 && !slices.Contains(req.Services, u.Service()) {
					continue
				}
				rec := u.Record()
				img := e.listed(ctx, rec.Image)
				img.Container, img.InUse = rec.Name, true
				out = append(out, img)
			}
		}
		return out, nil
	}
	entries, err := e.images.Entries()
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		img, err := e.images.Describe(entry)
		if err != nil {
			continue // damaged: the next pull brings it anew
		}
		l := e.listed(ctx, img)
		if entry.Unnamed() {
			l.Ref = ""
		}
		l.InUse = slices.ContainsFunc(users, func(c manage.Container) bool { return c.Image.ID == img.ID })
		out = append(out, l)
	}
	return out, nil
}

// listed is an image as clients see it; its size is that of what lies
// unpacked.
func (e *Engine) listed(ctx context.Context, img image.Image) api.Image {
	out := api.Image{
		Ref: image.FamiliarString(img.Ref), ID: string(img.ID), Digest: string(img.Digest), Platform: img.Platform, Created: img.Created,
	}
	for _, l := range img.Layers {
		if n, err := e.images.LayerSize(ctx, l.DiffID); err == nil {
			out.Size += n
		}
	}
	return out
}

// Tag gives an image another name.
func (e *Engine) Tag(ctx context.Context, req api.TagRequest, _ func(api.Message)) (struct{}, error) {
	return struct{}{}, imageFault(manage.Tag(ctx, e.images, req.Source, req.Target))
}

// imageFault gives an error of an image its hint.
func imageFault(err error) error {
	if err == nil {
		return nil
	}
	all := flatten(err)
	for i, err := range all {
		all[i] = &api.Error{Message: err.Error(), Hint: image.Hint(err)}
	}
	return errors.Join(all...)
}

// History tells how an image came to be, the latest step first.
func (e *Engine) History(ctx context.Context, req api.HistoryRequest, _ func(api.Message)) ([]api.HistoryEntry, error) {
	steps, err := manage.History(ctx, e.images, req.Ref)
	if err != nil {
		return nil, imageFault(err)
	}
	out := make([]api.HistoryEntry, 0, len(steps))
	for _, s := range steps {
		out = append(out, api.HistoryEntry{Created: s.Created, CreatedBy: s.CreatedBy, Comment: s.Comment, Size: s.Size, Empty: s.Layer == ""})
	}
	return out, nil
}

// RemoveImage removes images by name or id.
func (e *Engine) RemoveImage(ctx context.Context, req api.RemoveImageRequest, _ func(api.Message)) (api.RemoveImageResult, error) {
	use, err := e.inUse()
	if err != nil {
		return api.RemoveImageResult{}, err
	}
	gone, err := manage.Remove(ctx, e.images, use, req.Refs, manage.RemoveOptions{Force: req.Force})
	res := api.RemoveImageResult{Bytes: freed(gone.Collected)}
	for _, ref := range gone.Untagged {
		res.Untagged = append(res.Untagged, image.FamiliarString(ref))
		e.m.Events.Publish(api.Event{Time: time.Now(), Type: "image", Action: "untag", ID: ref})
	}
	for _, id := range gone.Deleted {
		res.Deleted = append(res.Deleted, string(id))
		e.m.Events.Publish(api.Event{Time: time.Now(), Type: "image", Action: "delete", ID: string(id)})
	}
	for _, err := range gone.Missing {
		res.Missing = append(res.Missing, err.Error())
	}
	return res, imageFault(err)
}

func freed(c store.Collected) int64 { return c.Bytes + c.LayerBytes }

// Save writes images as an archive to the session's output.
func (e *Engine) Save(ctx context.Context, req api.SaveRequest, se *server.Session) (int, error) {
	return 0, oneFault(imageFault(manage.Save(ctx, e.images, se.Stdout, req.Refs, manage.SaveOptions{Format: req.Format})))
}

// Load reads the images of an archive, from the session's input unless the
// request names a file. It says what it loaded, a line each.
func (e *Engine) Load(ctx context.Context, req api.LoadRequest, se *server.Session) (int, error) {
	defer e.cfg.Effort.begin()()
	remote, done := e.registryFor(req.Credentials)
	defer done()
	limits, err := fetch.LimitsOf(remote)
	if err != nil {
		return 0, &api.Error{Message: err.Error()}
	}
	images, err := manage.Load(ctx, e.images, req.Path, se.Stdin, manage.LoadOptions{Limits: limits, Progress: func(p fetch.Progress) {
		if p.Layer == "" {
			return
		}
		se.Emit(api.Message{Progress: &api.Progress{
			ID: shortDigest(string(p.Layer)), State: layerState(p.State), Text: loadTexts[p.State], Current: p.Current, Total: p.Total,
		}})
	}})
	if err != nil {
		return 0, oneFault(imageFault(err))
	}
	for _, img := range images {
		what := "Loaded image: " + image.FamiliarString(img.Ref)
		if _, err := digest.Parse(img.Ref); err == nil || img.Ref == "" {
			what = "Loaded image ID: " + string(img.ID)
		}
		fmt.Fprintln(se.Stdout, what)
	}
	return 0, nil
}

// loadTexts are words for a layer's states on its way from an archive.
var loadTexts = map[string]string{
	store.Resolving:   "Waiting",
	store.Exists:      "Already exists",
	store.Downloading: "Loading",
	store.Unpacking:   "Loading",
	store.Done:        "Loaded",
}
