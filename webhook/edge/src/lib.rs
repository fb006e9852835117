//! HTTPS edge of the guard: AdmissionReview in, verdict out.
