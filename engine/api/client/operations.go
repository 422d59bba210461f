package client

import (
	"context"
	"io"

	"devstack/engine/api"
)

// The operations; see package api. emit gets the messages of an operation in
// their order, from the calling goroutine; it may be nil.

func (c *Client) Status(ctx context.Context) (res api.StatusResult, err error) {
	return res, c.call(ctx, api.OpStatus, struct{}{}, &res, nil)
}

// Shutdown returns when the engine accepts nobody any more.
func (c *Client) Shutdown(ctx context.Context, req api.ShutdownRequest) error {
	cn, err := c.connection(ctx)
	if err != nil {
		return err
	}
	defer cn.Close()
	if err := cn.shutdown(ctx, req); err != nil {
		return c.explain(ctx, api.OpShutdown, err)
	}
	return nil
}

// End is Shutdown for good: it also waits, for a while, until engine and guard
// have ended and hold no file any more. They go on if another client comes.
func (c *Client) End(ctx context.Context, force bool) error {
	wait := ending(c.options)
	defer wait(ctx)
	return c.Shutdown(ctx, api.ShutdownRequest{Force: force})
}

func (c *Client) Up(ctx context.Context, req api.UpRequest, emit func(api.Message)) (res api.UpResult, err error) {
	return res, c.call(ctx, api.OpUp, req, &res, emit)
}

// Down's result is the plan's text, when DryRun asked for it.
func (c *Client) Down(ctx context.Context, req api.DownRequest, emit func(api.Message)) (res api.UpResult, err error) {
	return res, c.call(ctx, api.OpDown, req, &res, emit)
}

func (c *Client) Watch(ctx context.Context, req api.WatchRequest, emit func(api.Message)) (res api.WatchResult, err error) {
	return res, c.call(ctx, api.OpWatch, req, &res, emit)
}

func (c *Client) Start(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) error {
	return c.call(ctx, api.OpStart, req, nil, emit)
}

func (c *Client) Stop(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) error {
	return c.call(ctx, api.OpStop, req, nil, emit)
}

func (c *Client) Restart(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) error {
	return c.call(ctx, api.OpRestart, req, nil, emit)
}

func (c *Client) Kill(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) error {
	return c.call(ctx, api.OpKill, req, nil, emit)
}

func (c *Client) Remove(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) error {
	return c.call(ctx, api.OpRemove, req, nil, emit)
}

func (c *Client) Ps(ctx context.Context, req api.PsRequest) (res []api.Container, err error) {
	return res, c.call(ctx, api.OpPs, req, &res, nil)
}

func (c *Client) Ls(ctx context.Context) (res []api.LsResult, err error) {
	return res, c.call(ctx, api.OpLs, struct{}{}, &res, nil)
}

// Logs hands out Log messages, and with Attach Event messages.
func (c *Client) Logs(ctx context.Context, req api.LogsRequest, emit func(api.Message)) error {
	return c.call(ctx, api.OpLogs, req, nil, emit)
}

func (c *Client) Wait(ctx context.Context, req api.WaitRequest) (res api.WaitResult, err error) {
	return res, c.call(ctx, api.OpWait, req, &res, nil)
}

func (c *Client) Pull(ctx context.Context, req api.PullRequest, emit func(api.Message)) error {
	return c.call(ctx, api.OpPull, req, nil, emit)
}

func (c *Client) Build(ctx context.Context, req api.BuildRequest, emit func(api.Message)) (res api.BuildResult, err error) {
	return res, c.call(ctx, api.OpBuild, req, &res, emit)
}

func (c *Client) Push(ctx context.Context, req api.PushRequest, emit func(api.Message)) (res api.PushResult, err error) {
	return res, c.call(ctx, api.OpPush, req, &res, emit)
}

// Images lists images, by the containers that use them or all of the store.
func (c *Client) Images(ctx context.Context, req api.ImagesRequest) (res []api.Image, err error) {
	return res, c.call(ctx, api.OpImages, req, &res, nil)
}

func (c *Client) Tag(ctx context.Context, req api.TagRequest) error {
	return c.call(ctx, api.OpTag, req, nil, nil)
}

func (c *Client) History(ctx context.Context, req api.HistoryRequest) (res []api.HistoryEntry, err error) {
	return res, c.call(ctx, api.OpHistory, req, &res, nil)
}

func (c *Client) RemoveImage(ctx context.Context, req api.RemoveImageRequest) (res api.RemoveImageResult, err error) {
	return res, c.call(ctx, api.OpRemoveImage, req, &res, nil)
}

func (c *Client) Prune(ctx context.Context, req api.PruneRequest) (res api.PruneResult, err error) {
	return res, c.call(ctx, api.OpPrune, req, &res, nil)
}

func (c *Client) DiskUsage(ctx context.Context) (res api.DiskUsageResult, err error) {
	return res, c.call(ctx, api.OpDiskUsage, struct{}{}, &res, nil)
}

// Lock resolves references to digests.
func (c *Client) Lock(ctx context.Context, req api.LockRequest) (res api.LockResult, err error) {
	return res, c.call(ctx, api.OpLock, req, &res, nil)
}

// References are the images that the Dockerfiles of services take.
func (c *Client) References(ctx context.Context, req api.BuildRequest) (res api.ReferencesResult, err error) {
	return res, c.call(ctx, api.OpReferences, req, &res, nil)
}

// Save writes an archive to w.
func (c *Client) Save(ctx context.Context, req api.SaveRequest, w io.Writer) error {
	_, err := c.converse(ctx, api.OpSave, req, Streams{Out: w})
	return err
}

// Load reads an archive from r, unless the request names a file, and writes
// what it loaded to w, a line each.
func (c *Client) Load(ctx context.Context, req api.LoadRequest, r io.Reader, w io.Writer, emit func(api.Message)) error {
	_, err := c.converse(ctx, api.OpLoad, req, Streams{In: r, Out: w, Message: emit})
	return err
}

func (c *Client) Events(ctx context.Context, req api.EventsRequest, emit func(api.Event)) error {
	return c.call(ctx, api.OpEvents, req, nil, func(m api.Message) {
		if m.Event != nil {
			emit(*m.Event)
		}
	})
}

// Exec runs a command in a running container and returns its exit code.
func (c *Client) Exec(ctx context.Context, req api.ExecRequest, s Streams) (int, error) {
	return c.converse(ctx, api.OpExec, req, s)
}

// Run runs a one-off container and returns its exit code.
func (c *Client) Run(ctx context.Context, req api.RunRequest, s Streams) (int, error) {
	return c.converse(ctx, api.OpRun, req, s)
}

// Attach joins a running container's streams and returns its exit code.
func (c *Client) Attach(ctx context.Context, req api.AttachRequest, s Streams) (int, error) {
	return c.converse(ctx, api.OpAttach, req, s)
}
