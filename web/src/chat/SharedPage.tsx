import { useState } from 'react';
import { filesOf, titleOf } from '../lib/conversations';
import { dateTime } from '../lib/format';
import { useTitle } from '../lib/hooks';
import { type Shared, useShared } from '../lib/sharing';
import { plainLine, plainText } from '../lib/text';
import { Empty, Loading } from '../ui/parts';
import { Answer } from './Answer';
import FileParts from './FileParts';
import { Reasoning } from './Reasoning';
import { ToolCall, isToolPart } from './ToolCall';

/** A shared copy of a conversation, to read only. */
export default function SharedPage() {
  const [token] = useState(() => window.location.hash.slice(1));
  const shared = useShared(token);
  useTitle(shared.data ? titleOf(shared.data) : 'Shared conversation');
  if (shared.isPending) return <Loading label="Opening the copy" />;
  if (shared.isError) return <Empty title="This copy cannot be read">It does not exist, was revoked or has expired.</Empty>;
  const { data } = shared;
  return (
    <div className="transcript" tabIndex={0} role="region" aria-label="Shared messages">
      <div className="transcript-content">
        <h1 className="shared-title">{titleOf(data)}</h1>
        <p className="lead">A copy of {dateTime(data.created_at)}, to read only.</p>
        <ol className="messages">
          {data.messages.map((message, index) => (
            <li key={index}>
              <SharedMessage message={message} />
            </li>
          ))}
        </ol>
      </div>
    </div>
  );
}

function SharedMessage({ message }: { message: Shared['messages'][number] }) {
  if (message.role === 'user') {
    const text = message.parts.map((part) => (part.type === 'text' ? part.text : '')).join('\n\n');
    return (
      <article className="question" aria-label="Question">
        <p className="author">Person {message.metadata?.author ?? 1}</p>
        {filesOf(message).length > 0 && <FileParts files={filesOf(message)} />}
        <div className="bubble" dir="auto">
          {plainText(text)}
        </div>
      </article>
    );
  }
  return (
    <article className="answer" aria-label="Answer">
      {message.parts.map((part, index) => {
        if (part.type === 'text') return <Answer key={index} text={part.text} isWriting={false} />;
        if (part.type === 'reasoning') return <Reasoning key={index} text={part.text} isWriting={false} />;
        return isToolPart(part) ? <ToolCall key={index} part={part} /> : null;
      })}
      {message.metadata?.model_label && <p className="facts">{plainLine(message.metadata.model_label, '')}</p>}
    </article>
  );
}
