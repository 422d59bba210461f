package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/api"
	"devstack/engine/api/server"
	"devstack/engine/build/dockerfile"
	"devstack/engine/image"
	"devstack/engine/image/commit"
	"devstack/engine/image/snapshot"
	"devstack/engine/supervise"
)

// container finds the container that an operation is about, running or not.
func (e *Engine) container(project, service string, index int) (*supervise.Unit, error) {
	if p := e.known(project); p != nil {
		for _, u := range p.ServiceUnits(service) {
			if index == 0 || u.Number() == index {
				return u, nil
			}
		}
	}
	if index > 0 {
		return nil, &api.Error{Message: fmt.Sprintf("service %q has no container #%d", service, index)}
	}
	return nil, &api.Error{Message: fmt.Sprintf("no container found for service %q", service), Hint: "devstack create " + service}
}

// layered refuses a container that is made of a directory of this machine: its
// files are the machine's.
func layered(u *supervise.Unit, verb string) error {
	if img := u.Record().Image; img.Root != "" {
		return &api.Error{
			Service: u.Service(), Message: fmt.Sprintf("cannot %s a container whose image is a directory (rootfs:%s)", verb, img.Root),
			Hint: "copy what you need with devstack cp",
		}
	}
	return nil
}

// Commit makes an image of what a container has written.
func (e *Engine) Commit(ctx context.Context, req api.CommitRequest, emit func(api.Message)) (api.CommitResult, error) {
	u, err := e.container(req.Name, req.Service, req.Index)
	if err == nil {
		err = layered(u, "commit")
	}
	if err != nil {
		return api.CommitResult{}, err
	}
	res := api.CommitResult{Container: u.Name()}
	return res, step(u, emit, "Committing", "Committed", func() error {
		if req.Pause && u.Process() != nil && u.Record().State == api.StateRunning {
			if err := u.Pause(ctx); err != nil {
				return err
			}
			defer u.Resume(context.WithoutCancel(ctx))
		}
		img, err := e.commit(ctx, u, req)
		res.ID = string(img.ID)
		return err
	})
}

func (e *Engine) commit(ctx context.Context, u *supervise.Unit, req api.CommitRequest) (image.Image, error) {
	end, err := e.images.Begin(ctx) // nothing that this makes is collected before it has its name
	if err != nil {
		return image.Image{}, err
	}
	defer end()
	defer e.cfg.Effort.begin()()
	rec := u.Record()
	config, err := changed(rec.Image, req.Changes)
	if err != nil {
		return image.Image{}, err
	}
	s, err := snapshot.Open(e.cfg.Roots.Data, rec.ID, rec.Image)
	if err != nil {
		return image.Image{}, err
	}
	l, err := commit.Layer(ctx, e.images, s.Upper, commit.Options{Keep: true, Lower: s.Lower, Devices: true})
	if err != nil {
		return image.Image{}, err
	}
	now := time.Now()
	spec := commit.Spec{
		Base: rec.Image, Layers: []image.Layer{l}, Config: config, Author: req.Author, Created: now,
		History: []ocispec.History{{Created: &now, Author: req.Author, Comment: req.Message, CreatedBy: strings.Join(rec.Declared.Command, " ")}},
	}
	if req.Ref != "" {
		spec.Tags = []string{req.Ref}
	}
	return commit.Image(ctx, e.images, spec)
}

// changeable are the instructions that `commit --change` takes.
var changeable = []string{
	"CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}

// changed is an image's configuration after some instructions.
func changed(img image.Image, changes []string) (image.Config, error) {
	if len(changes) == 0 {
		return img.Config, nil
	}
	text := "FROM container\n"
	for _, c := range changes {
		word, _, _ := strings.Cut(strings.TrimSpace(c), " ")
		if !slices.Contains(changeable, strings.ToUpper(word)) || strings.ContainsAny(c, "\r\n") {
			return image.Config{}, &api.Error{Message: fmt.Sprintf("invalid --change %q: want one of %s", c, strings.Join(changeable, ", "))}
		}
		text += c + "\n"
	}
	platform := image.HostPlatform()
	f, err := dockerfile.Parse([]byte(text), dockerfile.Options{
		Name: "--change", Platform: platform, BuildPlatform: platform, IsContext: func(string) bool { return true },
	})
	if err != nil {
		return image.Config{}, err
	}
	base := image.File{Config: img.Config, Platform: platform}
	triggers := base.Config.OnBuild
	base.Config.OnBuild = nil // they are for builds on top, not for this
	plan, err := f.Evaluate(f.Stages[len(f.Stages)-1], dockerfile.StateOf(base))
	if err != nil {
		return image.Config{}, err
	}
	config := plan.State.Image.Config
	config.OnBuild = slices.Concat(triggers, config.OnBuild)
	return config, nil
}

// Export writes a container's files as an archive to the session's output;
// volumes and other mounts stay out.
func (e *Engine) Export(ctx context.Context, req api.ExportRequest, se *server.Session) (int, error) {
	u, err := e.container(req.Name, req.Service, req.Index)
	if err == nil {
		err = layered(u, "export")
	}
	if err != nil {
		return 0, err
	}
	rec := u.Record()
	s, err := snapshot.Open(e.cfg.Roots.Data, rec.ID, rec.Image)
	if err != nil {
		return 0, err
	}
	// Read-only, with the upper directory as a lower one: it may be in use.
	s = snapshot.Snapshot{Lower: slices.Concat([]string{s.Upper}, s.Lower)}
	view, err := snapshot.ViewSnapshot(s, false)
	if err != nil {
		return 0, err
	}
	defer view.Close()
	return 0, commit.Tar(ctx, se.Stdout, byDescriptor(view))
}
