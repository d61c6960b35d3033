import type { FileUIPart } from 'ai';
import { rows, supabase } from './supabase';

/** Files that a question may have, as an input of the type file takes them. */
export const ACCEPTED = 'image/png,image/jpeg,image/gif,image/webp,application/pdf,text/*,application/json,.md,.csv,.sql,.py,.ts,.yaml';
const MAX_BYTES = 2_900_000; // as base64 within the 4 MiB of a request
const MAX_PIXELS = 1568; // of the longer side; models see no more
const IMAGE = /^image\/(png|jpeg|gif|webp)$/;

/** The files as parts of a message; large pictures are made smaller. Throws an Error with the reason. */
export async function readFiles(files: File[]): Promise<FileUIPart[]> {
  return Promise.all(files.map(readFile));
}

async function readFile(file: File): Promise<FileUIPart> {
  const blob = IMAGE.test(file.type) ? await smaller(file) : file;
  const mediaType = IMAGE.test(blob.type) || blob.type === 'application/pdf' ? blob.type : 'text/plain';
  if (blob.size > MAX_BYTES) throw new Error(`${file.name} is too large: ${MAX_BYTES.toLocaleString('en-US')} bytes fit.`);
  if (mediaType === 'text/plain' && /^(image|audio|video)\//.test(file.type)) throw new Error(`${file.name} is neither a picture, a PDF nor text.`);
  return { type: 'file', mediaType, filename: file.name, url: `data:${mediaType};base64,${base64(new Uint8Array(await blob.arrayBuffer()))}` };
}

async function smaller(file: File): Promise<Blob> {
  const picture = await createImageBitmap(file).catch(() => null);
  if (!picture) throw new Error(`${file.name} cannot be read as a picture.`);
  const scale = Math.min(1, MAX_PIXELS / Math.max(picture.width, picture.height));
  if (scale === 1 && file.size <= MAX_BYTES) return file;
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [Math.round(picture.width * scale), Math.round(picture.height * scale)];
  canvas.getContext('2d')!.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? file), 'image/jpeg', 0.85));
}

function base64(bytes: Uint8Array): string {
  let text = '';
  for (let start = 0; start < bytes.length; start += 32_768) text += String.fromCharCode(...bytes.subarray(start, start + 32_768));
  return btoa(text);
}

const urls = new Map<string, Promise<string>>();

/** A `blob:` address of a file of a message. The page's policy allows no other pictures. */
export function blobUrl(part: FileUIPart): Promise<string> {
  const known = urls.get(part.url) ?? (part.url.startsWith('urn:uuid:') ? stored(part.url.slice(9)) : Promise.resolve(urlOf(part.url, part.mediaType)));
  urls.set(part.url, known);
  known.catch(() => urls.delete(part.url));
  return known;
}

async function stored(id: string): Promise<string> {
  const file = await rows<{ data: string; media_type: string }>(supabase.rpc('read_file', { file_id: id }));
  return urlOf(`,${file.data}`, file.media_type);
}

function urlOf(dataUrl: string, mediaType: string): string {
  const bytes = Uint8Array.from(atob(dataUrl.slice(dataUrl.indexOf(',') + 1)), (each) => each.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: IMAGE.test(mediaType) ? mediaType : 'application/octet-stream' }));
}
