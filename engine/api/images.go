package api

import (
	"time"

	"devstack/compose"
)

// Names of the operations on images.
const (
	OpBuild       = "build"
	OpPush        = "push"
	OpImages      = "images"
	OpTag         = "tag"
	OpHistory     = "history"
	OpRemoveImage = "remove-image"
	OpSave        = "save" // duplex: the archive is the session's stdout
	OpLoad        = "load" // duplex: the archive is the session's stdin
	OpPrune       = "prune"
	OpDiskUsage   = "disk-usage"
	OpLock        = "lock"
	OpReferences  = "references"
)

// Credentials are the client's environment: it leads to the passwords of
// registries, to registries.conf, certificates and proxies, and credential
// helpers run in it. The engine was started with somebody else's. Paths in it
// are absolute.
type Credentials struct {
	Environ []string `json:"environ,omitempty"` // empty: the engine's own
}

// BuildRequest builds the images of services.
type BuildRequest struct {
	Project    *compose.Project `json:"project"`
	Services   []string         `json:"services,omitempty"` // empty: all with a build section
	WithDeps   bool             `json:"with_deps,omitempty"`
	Args       compose.Mapping  `json:"args,omitempty"` // over each service's own
	NoCache    bool             `json:"no_cache,omitempty"`
	Pull       bool             `json:"pull,omitempty"`
	Push       bool             `json:"push,omitempty"`
	SSH        []compose.SSHKey `json:"ssh,omitempty"`
	Memory     compose.Bytes    `json:"memory,omitempty"`
	Check      bool             `json:"check,omitempty"`       // lint only
	Epoch      *int64           `json:"epoch,omitempty"`       // SOURCE_DATE_EPOCH, seconds
	WorkingDir string           `json:"working_dir,omitempty"` // of the project, for relative contexts
	// Stdin is a file with what was read from standard input, for the context
	// "-".
	Stdin       string      `json:"stdin,omitempty"`
	Credentials Credentials `json:"credentials,omitzero"`
	Lock        *Lock       `json:"lock,omitempty"`
}

// Lock pins references by their canonical names.
type Lock struct {
	Digests map[string]string `json:"digests"` // docker.io/library/nginx:1 -> sha256:...
	// Frozen refuses references of registries that Digests does not have;
	// else they stay as they are.
	Frozen bool `json:"frozen,omitempty"`
}

// BuildResult maps services to what was built for them.
type BuildResult struct {
	Images map[string]BuiltImage `json:"images"`
	// Findings are what a check found, by service and line.
	Findings []Finding `json:"findings,omitempty"`
}

// Finding is something that a check has to say of a Dockerfile.
type Finding struct {
	Service string   `json:"service"`
	Line    int      `json:"line,omitempty"` // 0: of the whole file
	Rule    string   `json:"rule,omitempty"` // of the linter; "" is a fault: it cannot be built
	Text    string   `json:"text"`           // with file:line
	Excerpt []string `json:"excerpt,omitempty"`
}

// BuiltImage is one image that a build made.
type BuiltImage struct {
	Ref    string `json:"ref"`
	ID     string `json:"id"`
	Digest string `json:"digest"`
}

// PushRequest pushes the images of services, or images by name.
type PushRequest struct {
	Project        *compose.Project `json:"project,omitempty"`
	Services       []string         `json:"services,omitempty"`
	Refs           []string         `json:"refs,omitempty"`
	IncludeDeps    bool             `json:"include_deps,omitempty"`
	IgnoreFailures bool             `json:"ignore_failures,omitempty"`
	IgnoreMissing  bool             `json:"ignore_missing,omitempty"` // images that are not in the store
	Credentials    Credentials      `json:"credentials,omitzero"`
}

// PushResult says what each reference stands for in its registry now.
type PushResult struct {
	Pushed []PushedImage `json:"pushed,omitempty"`
}

// PushedImage is one reference that was pushed.
type PushedImage struct {
	Ref       string   `json:"ref"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"` // bytes of the manifest or index
	Platforms []string `json:"platforms,omitempty"`
}

// ImagesRequest lists the images that a project's containers use, or all of
// the store's.
type ImagesRequest struct {
	Name     string   `json:"name,omitempty"`
	Services []string `json:"services,omitempty"`
	All      bool     `json:"all,omitempty"`
}

// Image is one image as it is listed.
type Image struct {
	Ref       string    `json:"ref"`
	ID        string    `json:"id"`
	Digest    string    `json:"digest,omitempty"`
	Platform  string    `json:"platform,omitempty"`
	Size      int64     `json:"size"` // bytes
	Created   time.Time `json:"created,omitzero"`
	Container string    `json:"container,omitempty"` // name, where one uses it
	InUse     bool      `json:"in_use,omitempty"`
}

// TagRequest gives an image another name.
type TagRequest struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// HistoryRequest asks how an image came to be.
type HistoryRequest struct {
	Ref string `json:"ref"`
}

// HistoryEntry is one step of an image's making, newest first.
type HistoryEntry struct {
	ID        string    `json:"id,omitempty"` // of the image, with its last step
	Created   time.Time `json:"created,omitzero"`
	CreatedBy string    `json:"created_by,omitempty"`
	Comment   string    `json:"comment,omitempty"`
	Size      int64     `json:"size"` // bytes of its layer
	Empty     bool      `json:"empty,omitempty"`
}

// RemoveImageRequest removes images by name or id.
type RemoveImageRequest struct {
	Refs  []string `json:"refs"`
	Force bool     `json:"force,omitempty"`
}

// SaveRequest writes images into one archive.
type SaveRequest struct {
	Refs   []string `json:"refs"`
	Format string   `json:"format,omitempty"` // oci-archive, docker-archive (default)
}

// LoadRequest reads images out of an archive.
type LoadRequest struct {
	Ref  string `json:"ref,omitempty"`  // a name for an archive that has none
	Path string `json:"path,omitempty"` // absolute, of an archive that need not be sent
	// Credentials are the client's environment, which sets limits.
	Credentials Credentials `json:"credentials,omitzero"`
}

// PruneRequest frees what nothing uses.
type PruneRequest struct {
	All        bool              `json:"all,omitempty"`         // tagged images without a container, too
	Volumes    bool              `json:"volumes,omitempty"`     // anonymous ones without a container
	Until      time.Time         `json:"until,omitzero"`        // only what is older
	KeepBytes  compose.Bytes     `json:"keep_bytes,omitempty"`  // for the build cache
	KeepImages compose.Bytes     `json:"keep_images,omitempty"` // for images
	BuildCache bool              `json:"build_cache,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	// Filters are conditions as of docker's --filter, beside Until and Labels.
	Filters []string `json:"filters,omitempty"`
	DryRun  bool     `json:"dry_run,omitempty"`
}

// PruneResult is what went.
type PruneResult struct {
	Removed []string `json:"removed"` // "untagged: NAME", "deleted: ID"
	Bytes   int64    `json:"bytes"`
	Volumes []string `json:"volumes,omitempty"`
	Builds  []string `json:"builds,omitempty"` // records of the build cache
}

// RemoveImageResult is what a removal did.
type RemoveImageResult struct {
	Untagged []string `json:"untagged,omitempty"`
	Deleted  []string `json:"deleted,omitempty"`
	Missing  []string `json:"missing,omitempty"` // with force: what was not there, and how that is said
	Bytes    int64    `json:"bytes"`
}

// DiskUsage is what one kind of thing takes, in total and by project.
type DiskUsage struct {
	Kind        string `json:"kind"` // images, containers, volumes, build cache
	Project     string `json:"project,omitempty"`
	Count       int    `json:"count"`
	Active      int    `json:"active"`
	Bytes       int64  `json:"bytes"`
	Reclaimable int64  `json:"reclaimable"`
}

// DiskUsageResult is what everything takes.
type DiskUsageResult struct {
	Kinds    []DiskUsage    `json:"kinds"`
	Projects []ProjectUsage `json:"projects"`
}

// ProjectUsage is what one project takes, in bytes; "" is what belongs to
// none. An image counts for every project that has containers of it.
type ProjectUsage struct {
	Project    string `json:"project"`
	Images     int64  `json:"images"`
	Containers int64  `json:"containers"`
	Volumes    int64  `json:"volumes"`
	Builds     int64  `json:"build_cache"`
}

// LockRequest resolves references to digests.
type LockRequest struct {
	Refs        []LockRef   `json:"refs"`
	Credentials Credentials `json:"credentials,omitzero"`
}

// LockRef is a reference as it is written, and where, for errors.
type LockRef struct {
	Ref     string `json:"ref"`
	Service string `json:"service,omitempty"`
	Path    string `json:"path,omitempty"` // in the project
}

// LockResult has an image for each of the request's references.
type LockResult struct {
	Images []LockedImage `json:"images"`
}

// LockedImage is what a reference stands for.
type LockedImage struct {
	Digest    string            `json:"digest"`
	Platforms map[string]string `json:"platforms,omitempty"` // "linux/amd64" -> manifest
}

// ReferencesResult are the places of services' Dockerfiles that name images.
// The request is a BuildRequest.
type ReferencesResult struct {
	References []BuildReference `json:"references"`
}

// BuildReference is a place of a Dockerfile that names an image.
type BuildReference struct {
	Service  string `json:"service"`
	Ref      string `json:"ref"`
	Platform string `json:"platform,omitempty"` // that is asked for; "" is the service's
	What     string `json:"what"`               // FROM, COPY, RUN
	File     string `json:"file,omitempty"`     // absolute; "" for dockerfile_inline
	Line     int    `json:"line"`
}
