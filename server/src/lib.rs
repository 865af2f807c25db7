//! Holds the posture of the fleet.
