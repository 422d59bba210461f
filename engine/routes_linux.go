package engine

import (
	"context"
	"errors"

	"devstack/engine/api"
	"devstack/engine/api/server"
	"devstack/engine/event"
)

// register puts the engine's operations on the server.
func (e *Engine) register(s *server.Server) {
	server.Handle(s, api.OpUp, translated(e.Up))
	server.Handle(s, api.OpDown, translated(e.Down))
	server.Handle(s, api.OpWatch, translated(e.Watch))
	server.Handle(s, api.OpStart, translated(e.Start))
	server.Handle(s, api.OpStop, translated(e.Stop))
	server.Handle(s, api.OpRestart, translated(e.Restart))
	server.Handle(s, api.OpKill, translated(e.Kill))
	server.Handle(s, api.OpRemove, translated(e.Remove))
	server.Handle(s, api.OpPull, translated(e.Pull))
	server.Handle(s, api.OpBuild, translated(e.Build))
	server.Handle(s, api.OpPush, translated(e.Push))
	server.Handle(s, api.OpLock, translated(e.Lock))
	server.Handle(s, api.OpReferences, translated(e.References))
	server.Handle(s, api.OpImages, e.Images)
	server.Handle(s, api.OpTag, translated(e.Tag))
	server.Handle(s, api.OpHistory, translated(e.History))
	server.Handle(s, api.OpRemoveImage, translated(e.RemoveImage))
	server.HandleDuplex(s, api.OpSave, e.Save)
	server.HandleDuplex(s, api.OpLoad, e.Load)
	server.Handle(s, api.OpPrune, translated(e.Prune))
	server.Handle(s, api.OpDiskUsage, e.DiskUsage)
	server.Handle(s, api.OpPs, e.Ps)
	server.Handle(s, api.OpLs, e.Ls)
	server.Handle(s, api.OpLogs, e.Logs)
	server.Handle(s, api.OpWait, e.Wait)
	server.Handle(s, api.OpEvents, e.Events)
	server.Handle(s, api.OpPause, translated(e.Pause))
	server.Handle(s, api.OpUnpause, translated(e.Unpause))
	server.Handle(s, api.OpTop, e.Top)
	server.Handle(s, api.OpStats, e.Stats)
	server.Handle(s, api.OpVolumes, e.Volumes)
	server.Handle(s, api.OpCommit, translated(e.Commit))
	server.HandleDuplex(s, api.OpExport, e.Export)
	server.HandleDuplex(s, api.OpCopyFrom, e.CopyFrom)
	server.HandleDuplex(s, api.OpCopyTo, e.CopyTo)
	server.HandleDuplex(s, api.OpExec, e.Exec)
	server.HandleDuplex(s, api.OpRun, e.Run)
	server.HandleDuplex(s, api.OpAttach, e.Attach)
}

// Events follows what happens.
func (e *Engine) Events(ctx context.Context, req api.EventsRequest, emit func(api.Message)) (struct{}, error) {
	if !req.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, req.Until)
		defer cancel()
	}
	err := e.m.Events.Follow(ctx, event.Filter{Project: req.Name, Services: req.Services, Since: req.Since}, func(ev api.Event) error {
		if req.Until.IsZero() || !ev.Time.After(req.Until) {
			emit(api.Message{Event: &ev})
		}
		return nil
	})
	if ctx.Err() != nil {
		err = nil
	}
	return struct{}{}, err
}

type operation[Req, Res any] func(context.Context, Req, func(api.Message)) (Res, error)

// translated gives the client every fault of an operation: the wire carries
// one error, so the first is the answer and has the others with it.
func translated[Req, Res any](op operation[Req, Res]) operation[Req, Res] {
	return func(ctx context.Context, req Req, emit func(api.Message)) (Res, error) {
		res, err := op(ctx, req, emit)
		return res, oneFault(err)
	}
}

func oneFault(err error) error {
	all := flatten(err)
	if len(all) < 2 {
		return err
	}
	first := asAPI(all[0])
	for _, other := range all[1:] {
		first.Others = append(first.Others, *asAPI(other))
	}
	return first
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}

func asAPI(err error) *api.Error {
	var e *api.Error
	if errors.As(err, &e) {
		c := *e
		return &c
	}
	return &api.Error{Message: err.Error()}
}
