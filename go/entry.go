package portlease

import (
	"log/slog"
	"time"
)

// TableEntry is a line of the router's table of mapped ports.
type TableEntry struct {
	// ExternalPort is the port on the router's public side.
	ExternalPort uint16 `json:"external_port"`
	// Transport is [UDP] or [TCP].
	Transport Transport `json:"transport"`
	// InternalClient is the host inside to which the router forwards: an address, on some routers a name.
	InternalClient string `json:"internal_client"`
	// InternalPort is the port on that host.
	InternalPort uint16 `json:"internal_port"`
	// Description is what the one who made it calls it.
	Description string `json:"description"`
	// Enabled says whether it is in force.
	Enabled bool `json:"enabled"`
	// Lifetime is the time that is left; zero for an entry that does not end by itself.
	Lifetime time.Duration `json:"lifetime,omitzero"`
	// RemoteHost is the only host that may use it; empty for everybody.
	RemoteHost string `json:"remote_host"`
	// ThisMachine says whether it forwards to this machine.
	ThisMachine bool `json:"this_machine"`
}

// LogValue is a group of the most important fields.
func (e TableEntry) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int("external_port", int(e.ExternalPort)),
		slog.String("transport", e.Transport.String()),
		slog.String("internal_client", e.InternalClient),
		slog.Int("internal_port", int(e.InternalPort)),
		slog.String("description", e.Description),
	)
}
