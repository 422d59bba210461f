package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"devstack/engine/api"
	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/manage"
	"devstack/engine/supervise"
	"devstack/volumes"
)

// Prune frees what nothing uses: of the build cache, of images, and with
// Volumes anonymous volumes that no container has.
func (e *Engine) Prune(ctx context.Context, req api.PruneRequest, _ func(api.Message)) (api.PruneResult, error) {
	res := api.PruneResult{Removed: []string{}}
	filter, err := manage.ParseFilter(req.Filters, time.Now())
	if err != nil {
		return res, err
	}
	if !req.Until.IsZero() {
		filter.Until = req.Until
	}
	for _, key := range slices.Sorted(maps.Keys(req.Labels)) {
		filter.Labels = append(filter.Labels, manage.Label{Key: key, Value: req.Labels[key]})
	}
	use, err := e.inUse()
	if err != nil {
		return res, err
	}
	// A condition on labels keeps what has none.
	if req.BuildCache && use.Builds != nil && len(filter.Labels) == 0 {
		went, err := manage.PruneBuilds(ctx, e.images, use, manage.PruneBuildsOptions{
			Filter: manage.Filter{Until: filter.Until}, Keep: int64(req.KeepBytes), DryRun: req.DryRun,
		})
		if err != nil {
			return res, err
		}
		for _, r := range went.Records {
			res.Builds = append(res.Builds, r.Description)
		}
		res.Bytes += went.Size + freed(went.Collected)
	}
	gone, err := manage.Prune(ctx, e.images, use, manage.PruneOptions{All: req.All, Filter: filter, Keep: int64(req.KeepImages), DryRun: req.DryRun})
	for _, ref := range gone.Untagged {
		res.Removed = append(res.Removed, "untagged: "+image.FamiliarString(ref))
	}
	for _, id := range gone.Deleted {
		res.Removed = append(res.Removed, "deleted: "+string(id))
	}
	res.Bytes += freed(gone.Collected)
	if err != nil || !req.Volumes {
		return res, err
	}
	return res, e.pruneVolumes(ctx, req, filter.Until, &res)
}

// pruneVolumes removes anonymous volumes of projects that nobody changes at
// the moment. Only such volumes can be without a container for good.
func (e *Engine) pruneVolumes(ctx context.Context, req api.PruneRequest, until time.Time, res *api.PruneResult) error {
	all, err := e.m.Volumes.List()
	if err != nil {
		return err
	}
	users := e.volumeUsers()
	var errs []error
	for _, v := range all {
		busy := slices.ContainsFunc(e.all(), func(p *supervise.Project) bool { return p.Name == v.Project && p.Changing() })
		if !v.Anonymous || busy || len(users[v.Name]) > 0 || !until.IsZero() && !v.Created.Before(until) {
			continue
		}
		if req.DryRun {
			res.Volumes = append(res.Volumes, v.Name)
			continue
		}
		size, err := layer.DiskUsage(ctx, v.Path)
		if err != nil {
			return err
		}
		if err := e.m.Volumes.Remove(ctx, v.Name); err != nil && !errors.Is(err, volumes.ErrNotFound) {
			errs = append(errs, err)
			continue
		}
		res.Volumes, res.Bytes = append(res.Volumes, v.Name), res.Bytes+size
	}
	return errors.Join(errs...)
}

// DiskUsage measures everything.
func (e *Engine) DiskUsage(ctx context.Context, _ struct{}, _ func(api.Message)) (api.DiskUsageResult, error) {
	use, err := e.inUse()
	if err != nil {
		return api.DiskUsageResult{}, err
	}
	all, err := e.m.Volumes.List()
	if err != nil {
		return api.DiskUsageResult{}, err
	}
	users := e.volumeUsers()
	var vols []manage.Volume
	for _, v := range all {
		vols = append(vols, manage.Volume{Name: v.Name, Project: v.Project, Path: v.Path, Containers: users[v.Name]})
	}
	u, err := manage.DiskUsage(ctx, e.images, use, vols)
	if err != nil {
		return api.DiskUsageResult{}, err
	}
	res := api.DiskUsageResult{Kinds: kinds(u), Projects: []api.ProjectUsage{}}
	for _, p := range u.Projects {
		res.Projects = append(res.Projects, api.ProjectUsage{
			Project: p.Name, Images: p.Images, Containers: p.Containers, Volumes: p.Volumes, Builds: p.Builds,
		})
	}
	return res, nil
}

// kinds sums up what there is of each kind. What images share counts once: the
// store is images and build cache together, and what only records of builds
// have is the latter's.
func kinds(u manage.Usage) []api.DiskUsage {
	images := api.DiskUsage{Kind: "Images", Count: len(u.Images), Bytes: u.Blobs + u.Layers}
	for _, i := range u.Images {
		if len(i.Containers) > 0 {
			images.Active++
		}
	}
	containers := api.DiskUsage{Kind: "Containers", Count: len(u.Containers)}
	for _, c := range u.Containers {
		containers.Bytes += c.Size
		if c.Running {
			containers.Active++
		} else {
			containers.Reclaimable += c.Size
		}
	}
	vols := api.DiskUsage{Kind: "Local Volumes", Count: len(u.Volumes)}
	for _, v := range u.Volumes {
		vols.Bytes += v.Size
		if len(v.Containers) > 0 {
			vols.Active++
		} else {
			vols.Reclaimable += v.Size
		}
	}
	builds := api.DiskUsage{Kind: "Build Cache", Count: len(u.Builds)}
	for _, b := range u.Builds {
		own := b.Size
		if !b.Shared {
			own = b.Total
		}
		builds.Bytes += own
		images.Bytes -= own - b.Size
		if b.InUse {
			builds.Active++
		} else {
			builds.Reclaimable += own
		}
	}
	images.Bytes = max(images.Bytes, 0)
	images.Reclaimable = max(images.Bytes-u.Held, 0)
	return []api.DiskUsage{images, containers, vols, builds}
}

// volumeUsers are the names of the containers that have each volume.
func (e *Engine) volumeUsers() map[string][]string {
	out := map[string][]string{}
	for _, p := range e.all() {
		for _, u := range p.Units() {
			for _, name := range u.MountSources() {
				out[name] = append(out[name], u.Name())
			}
		}
	}
	return out
}
