extension PortLeaseError {
    /// The stable kind, the same in every language; for `switch`, the cases do as well.
    public var kind: ErrorKind {
        switch self {
        case .Unavailable: return .unavailable
        case .Timeout: return .timeout
        case .Transport: return .transport
        case .Refused: return .refused
        case .Invalid: return .invalid
        case .Stopped: return .stopped
        case .Internal: return .`internal`
        }
    }
}
