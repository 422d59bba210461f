package client

import (
	"context"
	"io"

	"devstack/engine/api"
)

func (c *Client) Pause(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) error {
	return c.call(ctx, api.OpPause, req, nil, emit)
}

func (c *Client) Unpause(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) error {
	return c.call(ctx, api.OpUnpause, req, nil, emit)
}

func (c *Client) Top(ctx context.Context, req api.TopRequest) (res []api.TopContainer, err error) {
	return res, c.call(ctx, api.OpTop, req, &res, nil)
}

// Stats takes one sample; the use of the CPU is the difference of two.
func (c *Client) Stats(ctx context.Context, req api.StatsRequest) (res []api.ContainerStats, err error) {
	return res, c.call(ctx, api.OpStats, req, &res, nil)
}

func (c *Client) Volumes(ctx context.Context, req api.VolumesRequest) (res []api.Volume, err error) {
	return res, c.call(ctx, api.OpVolumes, req, &res, nil)
}

func (c *Client) Commit(ctx context.Context, req api.CommitRequest, emit func(api.Message)) (res api.CommitResult, err error) {
	return res, c.call(ctx, api.OpCommit, req, &res, emit)
}

// Export writes the files of a container to w, as an archive.
func (c *Client) Export(ctx context.Context, req api.ExportRequest, w io.Writer) error {
	_, err := c.converse(ctx, api.OpExport, req, Streams{Out: w})
	return err
}

// CopyFrom writes files of a container to w, as an archive.
func (c *Client) CopyFrom(ctx context.Context, req api.CopyRequest, w io.Writer, emit func(api.Message)) error {
	_, err := c.converse(ctx, api.OpCopyFrom, req, Streams{Out: w, Message: emit})
	return err
}

// CopyTo unpacks the archive that r reads in containers.
func (c *Client) CopyTo(ctx context.Context, req api.CopyRequest, r io.Reader, emit func(api.Message)) error {
	_, err := c.converse(ctx, api.OpCopyTo, req, Streams{In: r, Message: emit})
	return err
}
