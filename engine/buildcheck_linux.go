package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"devstack/engine/api"
)

// check lints the Dockerfiles of services. What is wrong with one is a
// finding, too; an error is what keeps it from being read.
func (b *builds) check(ctx context.Context, services []string) (api.BuildResult, error) {
	res := api.BuildResult{Images: map[string]api.BuiltImage{}}
	var errs []error
	for _, name := range services {
		found, err := b.checkService(ctx, name)
		res.Findings = append(res.Findings, found...)
		if err != nil {
			errs = append(errs, buildError(name, err))
		}
	}
	return res, errors.Join(errs...)
}

func (b *builds) checkService(ctx context.Context, name string) ([]api.Finding, error) {
	s := b.req.Project.Services[name]
	s.Name = name
	req, err := b.request(ctx, &s)
	if err != nil {
		return nil, err
	}
	warnings, err := b.builder.Check(ctx, req)
	var out []api.Finding
	for _, w := range warnings {
		out = append(out, api.Finding{
			Service: name, Line: w.Lines.First, Rule: w.Rule, Text: w.String(), Excerpt: excerptLines(w.Excerpt()),
		})
	}
	places := faults(err)
	for _, f := range places {
		out = append(out, api.Finding{Service: name, Line: f.Lines.First, Text: f.Error(), Excerpt: excerptLines(f.Excerpt())})
	}
	if len(places) > 0 {
		err = nil
	}
	slices.SortStableFunc(out, func(a, b api.Finding) int { return cmp.Compare(a.Line, b.Line) })
	return out, err
}
