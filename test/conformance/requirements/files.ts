import type { Requirements } from "./requirement.ts";

/** Files: what clients upload, and what sessions leave. */
export const FILES = {
  "files.upload": [
    "contract §13",
    "A file is stored as it was sent, of any content, and described: name, type, size, no expiry.",
  ],
  "files.name": ["contract §13", "Of the part's filename the last component is kept; none gives `unnamed.<ext>`."],
  "files.bad-name": ["semantics §11", 'Names have 1–255 characters, none of <>:"|?*\\/ and no control characters: 400.'],
  "files.expiry": ["contract §13", "expires_in_seconds from 3,600 to 7,776,000 sets expires_at; anything else is a 400."],
  "files.too-large": ["semantics §1", "A file of more than 500 MB is a 413, without being read to its end."],
  "files.broken-form": ["contract §1.4", "What is no multipart form, or has no file, is a 400 and leaves nothing."],
  "files.list": [
    "contract §1.6",
    "Newest first, limit and page, next_page null at the end; a bad page or limit is a 400.",
    "files",
  ],
  "files.list-ids": [
    "contract §13",
    "ids[]: at most 100, duplicates count once, unknown ones are left out, not with limit or page.",
  ],
  "files.list-scope": ["contract §13", "scope_id lists the files of a session; it must be the id of one."],
  "files.retrieve": [
    "contract §13",
    "retrieveMetadata gives what the upload gave; an unknown id is a 404 with the official text.",
  ],
  "files.download": ["contract §13", "The content of a downloadable file, byte by byte."],
  "files.not-downloadable": ["contract §13", "An uploaded file is not downloadable: 400 file_not_downloadable."],
  "files.uploads-downloadable": ["semantics §11", "An operator may allow it.", "uploads"],
  "files.delete": ["contract §13", "Deleted is gone, from the list too; again is a 404."],
  "files.legacy": ["contract §13", "Under files-api-2025-04-14: paged by ids, has_more, first_id, last_id, no expires_at."],
  "files.old-sdk": ["contract §1.1", "An SDK of that time uploads, lists, downloads and deletes."],
  "files.workspace": ["contract §1.1", "Another workspace's file answers like an unknown one, and is in no list."],
} as const satisfies Requirements;
