package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

func newImagesCmd(e *env) *cobra.Command {
	var (
		format string
		quiet  bool
	)
	cmd := &cobra.Command{
		Use:   "images [OPTIONS] [SERVICE...]",
		Short: "List images used by the created containers",
		RunE: func(cmd *cobra.Command, services []string) error {
			return runImages(cmd.Context(), e, services, format, quiet)
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.StringVar(&format, "format", "table", "Format the output. Values: [table | json]")
	f.BoolVarP(&quiet, "quiet", "q", false, "Only display IDs")
	return cmd
}

// usedImage is one row of the JSON of `images`, as of Compose.
type usedImage struct {
	ID            string
	ContainerName string
	Repository    string
	Tag           string
	Platform      string
	Size          int64
	Created       *time.Time `json:",omitempty"`
}

func runImages(ctx context.Context, e *env, services []string, format string, quiet bool) error {
	if format != "table" && format != "json" {
		return fmt.Errorf("format value %q could not be parsed", format)
	}
	_, name, err := e.loadOrName(ctx, services...)
	if err != nil {
		return err
	}
	images, err := e.images(ctx, api.ImagesRequest{Name: name, Services: services})
	if err != nil {
		return err
	}
	slices.SortFunc(images, func(a, b api.Image) int { return cmp.Compare(a.Container, b.Container) })
	if quiet {
		var seen []string
		for _, i := range images {
			if id := bareID(i.ID); !slices.Contains(seen, id) {
				seen = append(seen, id)
				fmt.Fprintln(e.stdout, id)
			}
		}
		return nil
	}
	rows, cells := []usedImage{}, [][]string{}
	for _, i := range images {
		repo, tag := splitTag(i.Ref)
		row := usedImage{ID: i.ID, ContainerName: i.Container, Repository: repo, Tag: tag, Platform: i.Platform, Size: i.Size}
		if !i.Created.IsZero() {
			row.Created = &i.Created
		}
		rows = append(rows, row)
		cells = append(cells, []string{
			i.Container, orNone(repo), orNone(tag), i.Platform, shortID(i.ID), render.ShortSize(i.Size), ago(i.Created, e.now()),
		})
	}
	if format == "json" {
		return json.NewEncoder(e.stdout).Encode(rows)
	}
	return render.WideTable(e.tables(), []string{"CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"}, cells)
}

// images asks the engine; without one nothing uses any.
func (e *env) images(ctx context.Context, req api.ImagesRequest) ([]api.Image, error) {
	c, err := e.dialIfAny(ctx)
	if err != nil || c == nil {
		return nil, err
	}
	defer c.Close()
	return c.Images(ctx, req)
}

// splitTag takes a reference apart as Docker's columns do; a digest is no tag.
func splitTag(ref string) (repo, tag string) {
	repo, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
		return repo[:i], repo[i+1:]
	}
	return repo, ""
}

func orNone(s string) string { return cmp.Or(s, "<none>") }

func bareID(id string) string {
	_, hex, ok := strings.Cut(id, ":")
	if !ok {
		return id
	}
	return hex
}

func shortID(id string) string {
	hex := bareID(id)
	return hex[:min(12, len(hex))]
}

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "N/A"
	}
	return render.Duration(now.Sub(t)) + " ago"
}
