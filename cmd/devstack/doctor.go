package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/doctor"
)

func newDoctorCmd(e *env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what the kernel offers, and say what to do about the rest",
		Long: "Check what the kernel offers, and say what to do about the rest.\n\n" +
			"The exit code is 1 if something is missing that devstack cannot do without.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			findings := doctor.Check()
			if format == "json" {
				enc := json.NewEncoder(e.stdout)
				enc.SetIndent("", "  ")
				if err := enc.Encode(findings); err != nil {
					return err
				}
			} else {
				printFindings(e.stdout, findings, e.style(e.stdout))
			}
			if !doctor.Fit(findings) {
				return exitWith(exitGeneral)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "pretty", "Format the output. Values: [pretty | json]")
	return cmd
}

func printFindings(w io.Writer, findings []doctor.Finding, style render.Style) {
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Feature))
	}
	for _, f := range findings {
		mark := style.Green("✔")
		switch {
		case f.Answer == doctor.Inconclusive:
			mark = style.Yellow("?")
		case f.Answer == doctor.No && f.Required:
			mark = style.Red("✘")
		case f.Answer == doctor.No:
			mark = style.Yellow("!")
		}
		text := string(f.Answer)
		if f.Since != "" {
			text += ", since Linux " + f.Since
		}
		if f.Detail != "" {
			text += " (" + f.Detail + ")"
		}
		fmt.Fprintf(w, "%s %-*s  %s\n", mark, width, f.Feature, text)
		if f.Remedy != "" {
			fmt.Fprintf(w, "  %-*s  remedy: %s\n", width, "", f.Remedy)
		}
	}
}
