/** The sign of Parley. */
export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden>
      <rect width="32" height="32" rx="9" className="mark-ground" />
      <path d="M9 9.5h9a5 5 0 0 1 0 10h-5.2L9 23z" className="mark-line" />
    </svg>
  );
}
