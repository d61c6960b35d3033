import { useQuery } from '@tanstack/react-query';
import type { FileUIPart } from 'ai';
import { FileText, X } from 'lucide-react';
import { blobUrl } from '../lib/files';
import { plainLine } from '../lib/text';

/** The files of a question, or of a draft, where each can be removed. */
export default function FileParts({ files, onRemove }: { files: FileUIPart[]; onRemove?: (index: number) => void }) {
  return (
    <ul className="files" aria-label="Files">
      {files.map((file, index) => (
        <li key={index}>
          <FilePart file={file} />
          {onRemove && (
            <button type="button" className="icon-button" aria-label={`Remove ${nameOf(file)}`} onClick={() => onRemove(index)}>
              <X aria-hidden />
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

function nameOf(file: FileUIPart): string {
  return plainLine(file.filename, file.mediaType.startsWith('image/') ? 'Picture' : 'File');
}

function FilePart({ file }: { file: FileUIPart }) {
  const isPicture = file.mediaType.startsWith('image/') && file.url !== '';
  const url = useQuery({ queryKey: ['file', file.url.slice(0, 64), file.url.length], queryFn: () => blobUrl(file), enabled: isPicture, staleTime: Infinity, retry: false });
  if (isPicture && url.data) return <img src={url.data} alt={nameOf(file)} />;
  return (
    <span className="file-name">
      <FileText aria-hidden />
      {nameOf(file)}
      {file.url === '' && ' (not shared)'}
      {url.isError && ' (not there any more)'}
    </span>
  );
}
